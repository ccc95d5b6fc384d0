package main

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backburn/internal/cli"
)

// Names come from attackers, so they must not control the terminal.
func TestPrintable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Rechnung Müller.pdf":     "Rechnung Müller.pdf",
		`back\slash "quoted"`:     `back\slash "quoted"`,
		"a\x1b[2Jb":               `a\x1b[2Jb`,
		"two\nlines":              `two\nlines`,
		"gpj.\u202egnp.exe":       `gpj.\u202egnp.exe`,
		"r\xe9sum\xe9":            `r\xe9sum\xe9`,
		"bell\a \"quoted\" slash": `bell\a "quoted" slash`,
	} {
		if got := cli.Printable(in); got != want {
			t.Errorf("%q is printed as %s, want %s", in, got, want)
		}
	}
}

func TestFormatDuration(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m1s", 25*time.Hour + time.Minute: "1d1h", 3 * time.Hour: "3h0m",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%s is %s, want %s", d, got, want)
		}
	}
}

func TestWalkArgs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"top.txt", "in/a.txt", "in/below/b.txt", "in/.backburn/claimed/c.txt"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	if runtime.GOOS != "windows" {
		if err := os.Symlink(filepath.Join(dir, "top.txt"), filepath.Join(dir, "in", "link.txt")); err != nil {
			t.Fatal(err)
		}
	}

	var got []string
	args := []string{filepath.Join(dir, "top.txt"), filepath.Join(dir, "in"), filepath.Join(dir, "missing"), "https://example.com/"}
	err := walkArgs(t.Context(), args, func(path string, err error) error {
		line := strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(dir)+"/")
		if err != nil {
			line += " !"
		}

		got = append(got, line)

		return nil
	})
	want := []string{"top.txt", "in/a.txt", "in/below/b.txt", "missing !", "https://example.com/"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}

	stop := errors.New("stop")
	if err := walkArgs(t.Context(), args, func(string, error) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v, want %v", err, stop)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := walkArgs(ctx, args[1:2], func(string, error) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

func TestVerdictExitError(t *testing.T) {
	t.Parallel()
	good := verdictAnswer{Verdict: benign, Final: true}
	bad := verdictAnswer{Verdict: "malware", Final: true, Malicious: true}
	unknown := verdictAnswer{Verdict: "unknown"}
	later := verdictAnswer{Verdict: "unrecognised", Final: true}
	for name, tc := range map[string]struct {
		answers []verdictAnswer
		code    int
	}{
		"harmless":            {[]verdictAnswer{good, good}, cli.OK},
		"malicious":           {[]verdictAnswer{good, bad}, cli.Malicious},
		"unknown":             {[]verdictAnswer{good, unknown}, cli.Partial},
		"unrecognised":        {[]verdictAnswer{good, later}, cli.Partial},
		"malicious counts on": {[]verdictAnswer{unknown, bad}, cli.Malicious},
	} {
		if got := cli.Code(verdictExitError(tc.answers)); got != tc.code {
			t.Errorf("%s: exit code %d, want %d", name, got, tc.code)
		}
	}
}

// --watch continues after errors, and ends with its context.
func TestRepeatShow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		var talk strings.Builder
		shown := 0
		err := repeatShow(ctx, &talk, true, func(context.Context) error {
			if shown++; shown == 2 {
				return errors.New("away")
			}

			return nil
		})
		if !errors.Is(err, context.DeadlineExceeded) || shown != 3 || talk.String() != "backburn: away\n" {
			t.Errorf("shown %d times, %v, and said %q", shown, err, talk.String())
		}

		fault := errors.New("fault")
		if err := repeatShow(ctx, &talk, false, func(context.Context) error { return fault }); !errors.Is(err, fault) {
			t.Errorf("once: %v, want %v", err, fault)
		}
	})
}

func TestIsURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"http://example.com": true, "https://example.com": true, "HTTP://example.com": true, "Https://example.com": true,
		"ftp://example.com": false, "http:/example.com": false, "http": false, "./http://x": false, "": false,
	} {
		if got := isURL(text); got != want {
			t.Errorf("isURL(%q) = %t, want %t", text, got, want)
		}
	}
}

// --watch ends with the cause of its context, such as an output that nobody reads.
func TestRepeatShowReturnsTheCause(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancelCause(t.Context())
	full := errors.New("no space left")
	err := repeatShow(ctx, io.Discard, true, func(context.Context) error {
		stop(full)
		return full
	})
	if !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
}
