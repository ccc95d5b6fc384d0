package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// FormatDuration returns a text that ParseDuration reads back, without zeros at the end: "24h", not
// "24h0m0s".
func FormatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}

	return s
}

// ParseDuration accepts the durations that time.ParseDuration accepts, unless they are negative.
// They may begin with a number of days: "7d", "1d12h".
func ParseDuration(s string) (time.Duration, error) {
	expected := errors.New(`a duration such as "1m30s" or "7d" (units d, h, m, s, ms)`)
	total := time.Duration(0)
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, expected
		}

		total = time.Duration(n) * 24 * time.Hour
		if s = rest; s == "" {
			return total, nil
		}
	}

	d, err := time.ParseDuration(s)
	if err != nil || d < 0 || total > math.MaxInt64-d {
		return 0, expected
	}

	return total + d, nil
}

// Size is a number of bytes, written with a unit: "100MB" is 10^8, "100MiB" is 100×2^20.
type Size int64

// Bytes returns the size as a plain number.
func (s Size) Bytes() int64 { return int64(s) }

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"kB", 1e3},
	{"KB", 1e3},
	{"B", 1},
}

// String returns the size in the unit with which it is the smallest whole number.
func (s Size) String() string {
	best, unit := int64(s), "B"
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 && abs(int64(s)/u.bytes) < abs(best) {
			best, unit = int64(s)/u.bytes, u.name
		}
	}
	return strconv.FormatInt(best, 10) + unit
}

func abs(n int64) int64 {
	if n < 0 {
		return -n
	}
	return n
}

// ParseSize reads a decimal number of at most nine fractional digits, an optional space and a unit:
// B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024). A number without a
// unit is ambiguous and rejected, except for "0".
func ParseSize(s string) (Size, error) {
	expected := errors.New(`a size such as "100MB" (10^6) or "100MiB" (2^20)`)
	if s == "0" {
		return 0, nil
	}

	for _, u := range sizeUnits {
		number, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}

		number = strings.TrimSuffix(number, " ")
		if !decimal(number) {
			return 0, expected
		}

		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			if n > math.MaxInt64/u.bytes {
				return 0, fmt.Errorf("a size below %s", Size(math.MaxInt64/(1<<40)*(1<<40)))
			}

			return Size(n * u.bytes), nil
		}

		f, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return 0, expected
		}
		if f *= float64(u.bytes); f < math.MaxInt64 {
			return Size(math.Round(f)), nil
		}

		return 0, fmt.Errorf("a size below %s", Size(math.MaxInt64/(1<<40)*(1<<40)))
	}

	return 0, expected
}

// decimal reports whether s consists of digits with at most one point between them.
func decimal(s string) bool {
	whole, fraction, point := strings.Cut(s, ".")
	return digits(whole) && (!point || digits(fraction) && len(fraction) <= 9)
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
