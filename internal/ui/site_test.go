package ui_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/internal/sink"
	"backburn/internal/testkit/leaks"
	"backburn/wildfire/wildfiretest"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// site is an installation in this process: a NATS server, a simulated WildFire, a folder.
type site struct {
	t        *testing.T
	cfg      config.Config
	wildfire *wildfiretest.Server
	folder   string
	log      zerolog.Logger
}

func newSite(t *testing.T, opts ...wildfiretest.Option) *site {
	t.Helper()
	const (
		client = "id@1234567890.iam.panserviceaccount.com"
		secret = "a secret that must not show"
		tsg    = "1234567890"
	)
	s := &site{t: t, log: zerolog.Nop(), folder: filepath.Join(t.TempDir(), "quarantine")}
	s.wildfire = wildfiretest.New(append([]wildfiretest.Option{
		wildfiretest.WithDelay(0), wildfiretest.WithUnknownFor(0), wildfiretest.WithClient(client, secret, tsg),
	}, opts...)...)
	web := s.wildfire.Start()
	t.Cleanup(web.Close)
	check(t, os.Mkdir(s.folder, 0o700))

	s.cfg = config.Default()
	s.cfg.NATS.URL = "nats://127.0.0.1:0"
	s.cfg.NATS.Embedded.StoreDir = filepath.Join(t.TempDir(), "nats")
	s.cfg.NATS.Embedded.SyncAlways = false
	s.cfg.Results.MaxBytes = 1 << 30 // for a small disk
	s.cfg.HTTP.Listen = "127.0.0.1:0"
	s.cfg.Pipeline.Rate, s.cfg.Pipeline.Lease = 100, 3*time.Second
	s.cfg.Pipeline.ShutdownTimeout = time.Second
	s.cfg.Pipeline.FirstPoll, s.cfg.Pipeline.MaxPoll = 100*time.Millisecond, 200*time.Millisecond
	s.cfg.WildFire.Client.BaseURL = web.URL
	s.cfg.Auth["wildfire"] = auth.Profile{
		Kind: auth.KindWildFire, ClientID: client, ClientSecret: auth.NewSecret(secret),
		TSGID: tsg, TokenURL: web.URL + wildfiretest.TokenPath, Share: auth.ShareOff,
	}
	w := &s.cfg.Watch[0]
	w.Path = s.folder
	w.Source = "quarantine"
	w.MinFree = 0
	w.Settle = 50 * time.Millisecond
	w.Scan = 200 * time.Millisecond

	server, err := natsd.Start(t.Context(), s.cfg, zerolog.Nop())
	check(t, err)
	t.Cleanup(server.Shutdown)
	s.cfg.NATS = server.NATS()

	return s
}

// start runs a node and returns the URL of its HTTP listener. stop stops it and waits.
func (s *site) start() (n *app.Node, url string, stop func()) {
	s.t.Helper()
	n, err := app.Start(s.t.Context(), s.cfg, app.Roles{Watch: true, Work: true, Sinks: true}, s.log)
	check(s.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := n.Run(ctx); err != nil {
			s.t.Error("node:", err)
		}
	}()
	stop = func() { cancel(); <-done }
	s.t.Cleanup(stop)

	return n, "http://" + n.HTTPAddr() + "/", stop
}

// drop puts a file into the quarantine.
func (s *site) drop(name, body string) {
	s.t.Helper()
	check(s.t, os.WriteFile(filepath.Join(s.folder, name), []byte(body), 0o600))
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Every process reports its folders and its token to the others.
func TestTheFleetKnowsFoldersAndTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	file := sink.DefaultConfig()
	file.Name = "file"
	file.Kind = sink.KindFile
	file.Path = filepath.Join(t.TempDir(), "events.jsonl")
	s.cfg.Sink = []sink.Config{file}
	n, _, _ := s.start()
	s.drop("a.bin", "a") // a token is needed now
	waitForStatus(t, n, "its key is renewed", func(st app.Status) bool {
		if len(st.Members) != 1 {
			return false
		}
		m := st.Members[0]

		return len(m.Folders) == 1 && m.Folders[0].Path == s.folder && m.Folders[0].Source == "quarantine" && m.Folders[0].State == "ok" &&
			len(m.Sinks) == 1 && m.Sinks[0].Name == "file" && m.Sinks[0].State == "ok" &&
			len(m.Tokens) == 1 && m.Tokens[0].Profile == "wildfire" && m.Tokens[0].State == "fresh"
	})
}
