package config

import (
	"path/filepath"
	"strings"
	"time"

	"backburn/auth"

	"backburn/pipeline"
)

// Default gives the configuration that an empty file means: one machine, the embedded
// server, the folder "quarantine" in the working directory, and no credentials.
//
// A file that has any [[watch]] replaces the one of the defaults; `watch = []` means
// none. The profile auth.wildfire is there whether or not a file speaks of it.
func Default() Config {
	quarantine := DefaultWatch()
	quarantine.Path, quarantine.Source = "quarantine", "quarantine"
	return Config{
		NATS: NATS{
			URL:      "nats://127.0.0.1:4222",
			Prefix:   "backburn",
			Replicas: 1,
			Embedded: Embedded{Enabled: true, StoreDir: "data/nats", SyncAlways: true},
		},
		Watch: []Watch{quarantine},
		WildFire: WildFire{
			URL:            "https://wildfire.paloaltonetworks.com",
			Auth:           "wildfire",
			AskFirst:       true,
			UploadsPerDay:  150,
			QueriesPerDay:  1050,
			ReservePercent: 10,
			StallTimeout:   Duration(30 * time.Second),
		},
		Worker: Worker{
			Concurrency:     8,
			Rate:            2,
			Burst:           8,
			MaxAttempts:     8,
			RetryMin:        Duration(time.Second),
			RetryMax:        Duration(5 * time.Minute),
			Lease:           Duration(15 * time.Second),
			ShutdownTimeout: Duration(30 * time.Second),
			Roots:           map[string]string{},
		},
		Verdicts: Verdicts{
			FirstPoll: Duration(30 * time.Second),
			MaxPoll:   Duration(15 * time.Minute),
			Deadline:  Duration(24 * time.Hour),

			MaliciousAge: Duration(720 * time.Hour),
			BenignAge:    Duration(168 * time.Hour),
			Recheck:      Duration(24 * time.Hour),
		},
		Results: Results{MaxAge: Duration(720 * time.Hour), MaxBytes: 10 << 30},
		Auth: map[string]Auth{
			"wildfire": {Kind: auth.KindWildFire, Share: auth.KindWildFire.DefaultShare()},
		},
		HTTP:    HTTP{Listen: "127.0.0.1:9464"},
		Sink:    []Sink{},
		API:     API{Source: "api", Priority: pipeline.Normal, MaxFileSize: 100_000_000},
		Tracing: Tracing{Sample: 1},
		Log:     Log{Level: "info", Format: "auto"},
	}
}

// DefaultWatch gives what a [[watch]] entry means that names nothing but a path. Path is
// empty; so is Source, which comes from the path.
func DefaultWatch() Watch {
	return Watch{
		Recursive:   true,
		Claim:       ClaimMove,
		Watch:       "auto",
		Settle:      Duration(2 * time.Second),
		Scan:        Duration(10 * time.Second),
		Exclude:     []string{},
		Defer:       DefaultDefer(),
		StaleAfter:  Duration(10 * time.Minute),
		Hardlinks:   "copy",
		MaxFileSize: 100_000_000,
		MinFree:     1 << 30,
		Priority:    pipeline.Normal,
		Transfer:    TransferPath,
		MaxInFlight: 1000,
		After:       After{Benign: AfterKeep, Malicious: AfterKeep, Failed: AfterKeep},
	}
}

// DefaultSink gives what a [[sink]] entry means that names nothing.
func DefaultSink() Sink {
	return Sink{
		Types: []string{}, Outcomes: []string{}, Sources: []string{},
		Timeout: Duration(10 * time.Second), MaxAttempts: 10, MaxSize: 100_000_000, MaxBackups: 10,
	}
}

// DefaultDefer lists the names under which editors, browsers and transfer programs write
// what is not complete yet. They are put off and not ignored: in a quarantine, a name
// that is never looked at would be a way past it.
func DefaultDefer() []string {
	return []string{
		".*", "~$*", "*~", "#*#", // hidden (rsync, proftpd, lftp, vim, NFS and FUSE leftovers), Office, Emacs
		"*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.download", "*.opdownload",
		"*.writing", "*.inprogress", "*.!qB", "*.aria2", "*.camelLock",
		"sed??????", // sed -i
	}
}

// sourceOf makes the base name of a folder fit to be a source: lower case, everything
// but letters, digits, _ and - replaced by -, at most 32 bytes. It is "" where nothing is
// left.
func sourceOf(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs // the name of "."
	}
	var b strings.Builder
	for _, r := range strings.ToLower(filepath.Base(path)) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_', r == '-':
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	s := b.String()
	s = strings.Trim(s[:min(len(s), 32)], "-")
	return s
}
