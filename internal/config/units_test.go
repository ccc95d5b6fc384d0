package config_test

import (
	"testing"
	"time"

	"backburn/internal/config"
)

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Duration{
		"1m30s": 90 * time.Second, "250ms": 250 * time.Millisecond, "24h": 24 * time.Hour, "0": 0, "0s": 0, "1.5h": 90 * time.Minute,
		"7d": 168 * time.Hour, "1d12h": 36 * time.Hour,
	} {
		if got, err := config.ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "5", "-1s", "-1d", "1.5d", "d", "1d1", "5 minutes", "1m 30s", "1000000000h"} {
		if got, err := config.ParseDuration(text); err == nil {
			t.Errorf("%q gave %v", text, got)
		}
	}
}

func TestDurationString(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", 24 * time.Hour: "24h",
		time.Hour + time.Second: "1h0m1s", 90 * time.Minute: "1h30m", 250 * time.Millisecond: "250ms", 720 * time.Hour: "720h",
	} {
		if got := config.FormatDuration(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]config.Size{
		"0": 0, "1B": 1, "100MB": 100_000_000, "100MiB": 104_857_600, "100 MB": 100_000_000, "1.5GiB": 3 << 29, "2kB": 2000, "2KB": 2000,
		"2KiB": 2048, "1TB": 1e12, "8000000TiB": 8000000 << 40, "0.1MB": 100_000,
	} {
		got, err := config.ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}

	for _, text := range []string{
		"", "100", "MB", "-1MB", "1e3MB", "1mb", "1Mb", "1.MB", ".5MB", "1.5.5MB", "0x10MB", "1_000MB",
		"9223372036854775807KiB", "99999999999999999999B", "9999999.9TiB", "1  MB", "1MB ", "8191PiB", "InfMB", "NaNMB",
	} {
		if got, err := config.ParseSize(text); err == nil {
			t.Errorf("%q gave %d", text, got)
		}
	}
}

func TestSizeString(t *testing.T) {
	t.Parallel()
	for s, want := range map[config.Size]string{
		0: "0B", 1: "1B", 1000: "1kB", 1024: "1KiB", 100_000_000: "100MB", 104_857_600: "100MiB", 10 << 30: "10GiB", 1500: "1500B", -2000: "-2kB",
	} {
		if got := s.String(); got != want {
			t.Errorf("%d: %q, want %q", int64(s), got, want)
		}
	}
}
