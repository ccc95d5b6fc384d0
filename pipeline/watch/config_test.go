package watch_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/watch"
)

func TestDefaultsAreValid(t *testing.T) {
	t.Parallel()
	c := watch.DefaultConfig()
	c.Path, c.Source = "quarantine", "quarantine"
	if err := c.Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateNamesEveryKey(t *testing.T) {
	t.Parallel()
	c := watch.Config{
		Source: "No Spaces", Claim: "copy", Watch: "inotify", Settle: -1, Scan: 0, StaleAfter: -time.Second,
		Exclude: []string{"[a"}, Defer: []string{""}, MaxFileSize: 0, Priority: "now", Transfer: "mail",
		MaxInFlight: 0, DoneFile: "{size}", Hardlinks: "follow", MinFree: -1, StateDir: "x",
		After: watch.After{Benign: "remove", Malicious: "", Failed: "archive"},
	}
	err := c.Validate()
	if err == nil {
		t.Fatal("no error for a configuration with faults")
	}
	lines := strings.Split(err.Error(), "\n")
	for _, key := range []string{
		"path", "source", "claim", "watch", "settle", "scan", "stale_after", "exclude[0]", "defer[0]",
		"max_file_size", "priority", "transfer", "max_in_flight", "done_file", "hardlinks", "min_free", "state_dir",
		"after.benign", "after.malicious", "after.failed",
	} {
		n := 0
		for _, l := range lines {
			if strings.HasPrefix(l, key+": ") {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s occurs %d times in:\n%v", key, n, err)
		}
	}
	if len(lines) != 20 {
		t.Errorf("%d problems:\n%v", len(lines), err)
	}
}

func TestValidateCombinations(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*watch.Config)
		want   string // "": valid
	}{
		"unknown metadata":        {func(c *watch.Config) { c.Metadata = "zeek" }, "metadata: "},
		"metadata would be lost":  {func(c *watch.Config) { c.Metadata, c.After.Benign = "json", "restore" }, "after.benign: "},
		"metadata with keep":      {func(c *watch.Config) { c.Metadata, c.Claim = "suricata", "keep" }, ""},
		"delete with keep":        {func(c *watch.Config) { c.Claim, c.After.Benign = "keep", "delete" }, "after.benign: "},
		"restore with keep":       {func(c *watch.Config) { c.Claim, c.After.Failed = "keep", "restore" }, "after.failed: "},
		"move with keep":          {func(c *watch.Config) { c.Claim, c.After.Malicious = "keep", "/tmp/x" }, "after.malicious: "},
		"move into the folder":    {func(c *watch.Config) { c.After.Malicious = "quarantine/bad" }, "after.malicious: "},
		"move onto the folder":    {func(c *watch.Config) { c.After.Malicious = "./quarantine" }, "after.malicious: "},
		"move beside the folder":  {func(c *watch.Config) { c.After.Malicious = "./quarantine-bad" }, ""},
		"done file with a folder": {func(c *watch.Config) { c.DoneFile = "done/{name}" }, "done_file: "},
		"done file is the file":   {func(c *watch.Config) { c.DoneFile = "{name}" }, "done_file: "},
		"done file twice":         {func(c *watch.Config) { c.DoneFile = "{name}{name}" }, "done_file: "},
		"done file by extension":  {func(c *watch.Config) { c.DoneFile = "{name.noext}.ok" }, ""},
		"done file of itself":     {func(c *watch.Config) { c.DoneFile = "{name.noext}" }, "done_file: "},
		"settle 0":                {func(c *watch.Config) { c.Settle = 0 }, ""},
		"state dir with keep":     {func(c *watch.Config) { c.Claim, c.StateDir = "keep", "/var/lib/x" }, ""},
		"urgent":                  {func(c *watch.Config) { c.Priority = pipeline.Urgent }, ""},
		"source too long":         {func(c *watch.Config) { c.Source = strings.Repeat("a", 33) }, "source: "},
		"source with a dot":       {func(c *watch.Config) { c.Source = "a.b" }, "source: "},
	} {
		cfg := watch.DefaultConfig()
		cfg.Path, cfg.Source = "quarantine", "quarantine"
		c.change(&cfg)
		err := cfg.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestNewRequiresDependencies(t *testing.T) {
	t.Parallel()
	good := watch.DefaultConfig()
	good.Path, good.Source = t.TempDir(), "test"
	object := good
	object.Transfer = watch.TransferObject
	bad := good
	bad.Source = ""
	for name, err := range map[string]error{
		"invalid":     second(watch.New(bad, newIntake(), newOutcomes(), nil)),
		"no intake":   second(watch.New(good, nil, newOutcomes(), nil)),
		"no outcomes": second(watch.New(good, newIntake(), nil, nil)),
		"no objects":  second(watch.New(object, newIntake(), newOutcomes(), nil)),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	w, err := watch.New(good, newIntake(), newOutcomes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if st := w.Status(); st.State == watch.StateOK || st.Source != "test" || st.Since.IsZero() {
		t.Errorf("status before the start: %+v", st)
	}
}

func second(_ *watch.Watcher, err error) error { return err }

func TestCheck(t *testing.T) {
	t.Parallel()
	cfg := watch.DefaultConfig()
	cfg.Path = t.TempDir()
	cfg.Source = "test"
	cfg.MinFree = 0
	cfg.After.Malicious = t.TempDir() + "/bad"
	for _, f := range watch.Check(t.Context(), cfg) {
		if f.Level == watch.Fail || f.Detail == "" {
			t.Errorf("%+v", f)
		}
	}
	cfg.After.Failed = t.TempDir() + "/failed"
	cfg.After.Benign = t.TempDir() + "/benign"
	for range 16 {
		var keys []string
		for _, f := range watch.Check(t.Context(), cfg) {
			if key, _, _ := strings.Cut(f.Detail, ":"); f.Name == "after" {
				keys = append(keys, key)
			}
		}
		if want := []string{"after.benign", "after.malicious", "after.failed"}; !slices.Equal(keys, want) {
			t.Fatalf("the folders of after were checked in the order %q", keys)
		}
	}
	for name, c := range map[string]struct {
		change func(*watch.Config)
		want   string
	}{
		"missing":      {func(c *watch.Config) { c.Path += "/missing" }, "folder"},
		"invalid":      {func(c *watch.Config) { c.Claim = "?" }, "configuration"},
		"no space":     {func(c *watch.Config) { c.MinFree = 1 << 60 }, "free_space"},
		"after a file": {func(c *watch.Config) { c.After.Failed = "/dev/null/x" }, "after"},
	} {
		bad := cfg
		c.change(&bad)
		found := false
		for _, f := range watch.Check(t.Context(), bad) {
			found = found || f.Name == c.want && f.Level == watch.Fail && f.Fix != ""
		}
		if !found {
			t.Errorf("no finding for %s", name)
		}
	}
}
