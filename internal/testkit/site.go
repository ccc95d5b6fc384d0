package testkit

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"backburn/wildfire/wildfiretest"
)

// Site is an installation in a temporary folder: a configuration, a quarantine, a store.
type Site struct {
	t        testing.TB
	Dir      string
	WildFire *wildfiretest.Server
	folder   string // the quarantine
	store    string // of the embedded server
	base     Settings
	env      []string
}

// Settings are dotted keys of the configuration. Keys that begin with "watch." apply to its one
// folder. A nil value leaves the key out.
type Settings map[string]any

// The service account of a site's simulated WildFire.
const (
	clientID = "id@1234567890.iam.panserviceaccount.com"
	tsgID    = "1234567890"
	secret   = "a secret that must not show"
)

// NewSite makes a site with a fast simulated WildFire and short schedules.
func NewSite(t testing.TB, opts ...wildfiretest.Option) *Site {
	t.Helper()
	s := &Site{t: t, Dir: t.TempDir()}
	s.env = []string{"WILDFIRE_SECRET=" + secret, "TMPDIR=" + s.Path("tmp")}
	s.WildFire = wildfiretest.New(append([]wildfiretest.Option{
		wildfiretest.WithDelay(0), wildfiretest.WithUnknownFor(0), wildfiretest.WithCapacity(10_000, 100_000),
		wildfiretest.WithClient(clientID, secret, tsgID),
	}, opts...)...)
	web := s.WildFire.Start()
	t.Cleanup(web.Close)
	s.folder = s.Path("quarantine")
	for _, dir := range []string{s.folder, s.Path("tmp")} {
		noError(t, os.Mkdir(dir, 0o755))
	}

	s.base = Settings{
		"nats.url": "nats://127.0.0.1:0", "nats.embedded.store_dir": s.Path("nats"),
		"watch.path": s.folder, "watch.settle": "200ms", "watch.scan": "1s", "watch.stale_after": "1s", "watch.min_free": "0",
		"wildfire.url": web.URL, "wildfire.uploads_per_day": 0, "wildfire.queries_per_day": 0,
		"auth.wildfire.client_id": clientID, "auth.wildfire.client_secret": "${WILDFIRE_SECRET}", "auth.wildfire.tsg_id": tsgID,
		"auth.wildfire.token_url": web.URL + wildfiretest.TokenPath,
		"worker.rate":             1000.0, "worker.burst": 1000, "worker.lease": "3s", "worker.retry_min": "50ms", "worker.retry_max": "500ms",
		"worker.shutdown_timeout": "10s",
		"verdicts.first_poll":     "200ms", "verdicts.max_poll": "1s",
		"results.max_bytes": "1GB", // of a small disk
		"http.listen":       "127.0.0.1:0", "log.level": "debug", "log.format": "json",
	}
	s.Configure(nil)
	t.Cleanup(func() { s.secretIsHidden() })

	return s
}

// Path returns a path in the site's folder.
func (s *Site) Path(elem ...string) string { return filepath.Join(append([]string{s.Dir}, elem...)...) }

// Called waits until WildFire's calls satisfy a condition.
func (s *Site) Called(enough func() bool) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), Patience)
	defer cancel()
	if err := s.WildFire.Wait(ctx, enough); err != nil {
		s.t.Fatalf("WildFire was not called enough: %v", err)
	}
}

// Watch sets another folder as the quarantine.
func (s *Site) Watch(folder string) { s.folder, s.base["watch.path"] = folder, folder }

// Configure writes backburn.toml: the settings of NewSite with changes. Programs that start later
// read it.
func (s *Site) Configure(changes Settings) {
	s.t.Helper()
	all := maps.Clone(s.base)
	maps.Copy(all, changes)
	s.store, _ = all["nats.embedded.store_dir"].(string)
	var top, watch strings.Builder
	for _, key := range slices.Sorted(maps.Keys(all)) {
		value := all[key]
		if text, ok := value.(string); ok {
			value = strconv.Quote(text)
		}
		if value == nil {
			continue
		}

		if below, ok := strings.CutPrefix(key, "watch."); ok {
			fmt.Fprintf(&watch, "%s = %v\n", below, value)
		} else {
			fmt.Fprintf(&top, "%s = %v\n", key, value)
		}
	}

	s.WriteFile("backburn.toml", top.String()+"[[watch]]\n"+watch.String())
}

// WriteFile writes a file in the site's folder that only its owner may read.
func (s *Site) WriteFile(name, text string) {
	s.t.Helper()
	noError(s.t, os.WriteFile(s.Path(name), []byte(text), 0o600))
}

// secretIsHidden looks for the client secret in every file of the site except the dropped ones.
func (s *Site) secretIsHidden() {
	err := filepath.WalkDir(s.Dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasPrefix(name, s.folder) {
			return err
		}

		b, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(b), secret) {
			s.t.Errorf("%s contains the client secret", name)
		}

		return err
	})
	if err != nil {
		s.t.Errorf("look for secrets: %v", err)
	}
}
