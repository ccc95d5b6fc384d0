package testkit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/results"
)

// Queue connects the test to the server that a process has started, once the server is ready.
func (s *Site) Queue(p *Process) jetstream.JetStream {
	s.t.Helper()
	p.Logged("ready")
	return s.Connect(p.NATS())
}

// Connect connects the test to a NATS server: the embedded one of a process of this site, or
// one without credentials.
func (s *Site) Connect(url string) jetstream.JetStream {
	s.t.Helper()
	return s.connect(url, s.store+".token")
}

// Simulation is Queue for a process that simulates WildFire, whose server has a separate store.
func (s *Site) Simulation(p *Process) jetstream.JetStream {
	s.t.Helper()
	p.Logged("ready")
	return s.connect(p.NATS(), filepath.Join(s.store+"-simulated", "nats.token"))
}

func (s *Site) connect(url, tokenFile string) jetstream.JetStream {
	s.t.Helper()
	opts := []nats.Option{
		nats.MaxReconnects(-1), nats.ReconnectWait(100 * time.Millisecond),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // servers are killed here
	}
	if token, err := os.ReadFile(tokenFile); err == nil {
		opts = append(opts, nats.Token(strings.TrimSpace(string(token))))
	}

	nc := must(nats.Connect(url, opts...))(s.t)
	s.t.Cleanup(nc.Close)
	return must(jetstream.New(nc))(s.t)
}

// Finals reads events from the first one until n files have a final event, and then all remaining
// events. It returns every message with a final event, in order. If a server was just restarted or
// has no leader yet, it retries.
func Finals(t testing.TB, js jetstream.JetStream, n int) []results.Event {
	t.Helper()
	return FinalsUnder(t, js, "", n)
}

// FinalsUnder is Finals for a prefix; "" is the default one.
func FinalsUnder(t testing.TB, js jetstream.JetStream, prefix string, n int) []results.Event {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), Patience, errors.New("patience"))
	defer cancel()
	for {
		all, err := finals(ctx, js, prefix, n)
		if err == nil {
			return all
		}

		if pipeline.Sleep(ctx, 100*time.Millisecond) != nil {
			t.Fatal(err)
		}
	}
}

func finals(ctx context.Context, js jetstream.JetStream, prefix string, n int) ([]results.Event, error) {
	paths := map[string]bool{}
	all, err := read(ctx, js, results.SubscriberConfig{Prefix: prefix}, func(e results.Event) bool {
		if e.Type.Final() {
			paths[pathOf(e)] = true
		}

		return len(paths) >= n
	})
	if err != nil {
		return nil, fmt.Errorf("%d of %d files have a final event: %w", len(paths), n, err)
	}

	return slices.DeleteFunc(all, func(e results.Event) bool { return !e.Type.Final() }), nil
}

// read reads events from the first one until it has enough, and returns all that exist then.
func read(ctx context.Context, js jetstream.JetStream, cfg results.SubscriberConfig, enough func(results.Event) bool) (all []results.Event, err error) {
	sub := results.NewSubscriber(js, cfg)
	err = sub.Run(ctx, func(_ context.Context, e results.Event) error {
		if enough(e) {
			return results.ErrStop
		}

		return nil
	})
	if err == nil {
		err = sub.Drain(ctx, func(_ context.Context, e results.Event) error {
			all = append(all, e)
			return nil
		})
	}

	return all, err
}

// pathOf is the name of a file as it was dropped.
func pathOf(e results.Event) string {
	if e.Data.PathB64 != nil {
		return string(e.Data.PathB64)
	}
	return e.Data.Path
}

// OneEach requires exactly one final event for every file, with the right contents and verdict, and
// no other final events.
func OneEach(t testing.TB, files []File, finals []results.Event) {
	t.Helper()
	ids := map[string][]string{}
	byPath := map[string]results.Event{}
	for _, e := range finals {
		ids[pathOf(e)] = append(ids[pathOf(e)], e.ID())
		byPath[pathOf(e)] = e
	}

	for _, f := range files {
		e := byPath[f.Name]
		switch {
		case len(ids[f.Name]) != 1:
			t.Errorf("%q has %d final events, want 1: %v", f.Name, len(ids[f.Name]), ids[f.Name])
		case e.Data.SHA256 != f.SHA256() || e.Data.Size != int64(len(f.Body)):
			t.Errorf("%q: event has %d bytes, %s; want %d, %s", f.Name, e.Data.Size, e.Data.SHA256, len(f.Body), f.SHA256())
		case e.Outcome() != f.Verdict:
			t.Errorf("%q: %s, want %s: %+v", f.Name, e.Outcome(), f.Verdict, e.Data.Error)
		}

		delete(ids, f.Name)
	}

	for name := range ids {
		t.Errorf("an event for %q, which nobody dropped", name)
	}
}

// OnceUploaded requires that WildFire got all distinct contents exactly once.
func (s *Site) OnceUploaded(files []File) {
	s.t.Helper()
	for _, f := range distinct(files) {
		if n := s.WildFire.UploadCount(f.SHA256()); n != 1 {
			s.t.Errorf("%q was uploaded %d times, want once", f.Name, n)
		}
	}
}

// distinct returns the first file of each contents.
func distinct(files []File) []File {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(files), func(f File) bool {
		sum := f.SHA256()
		isSeen := seen[sum]
		seen[sum] = true

		return isSeen
	})
}

// NothingLeft requires that no file is left in the quarantine, and that all are kept as done. Files
// are moved after their event, so it waits for that.
func (s *Site) NothingLeft(files int) {
	s.t.Helper()
	s.Until("files to be moved to done", func() bool { return len(s.Left()) == 0 })
	if done := s.tree(".backburn/done"); len(done) != files {
		s.t.Errorf("%d files are kept as done, want %d", len(done), files)
	}
}

// Left returns the files in the quarantine that are not done, claimed or not.
func (s *Site) Left() []string {
	s.t.Helper()
	return slices.Concat(s.tree(""), s.tree(".backburn/claimed"))
}

// tree lists the files below a folder of the quarantine. It leaves out the spool unless that is the
// given folder.
func (s *Site) tree(dir string) (names []string) {
	s.t.Helper()
	err := filepath.WalkDir(filepath.Join(s.folder, dir), func(name string, d os.DirEntry, err error) error {
		switch {
		case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
			return nil
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".backburn" && dir == "":
			return filepath.SkipDir
		case !d.IsDir():
			names = append(names, name)
		}

		return nil
	})
	noError(s.t, err)

	return names
}

// Reports waits for n report events, and returns all report events.
func Reports(t testing.TB, js jetstream.JetStream, n int) []results.Event {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), Patience, errors.New("patience"))
	defer cancel()
	cfg := results.SubscriberConfig{Filter: results.Filter{Types: []results.Type{results.Reported}}}
	seen := 0
	all, err := read(ctx, js, cfg, func(results.Event) bool { seen++; return seen >= n })
	if err != nil {
		t.Fatalf("%d of %d report events: %v", seen, n, err)
	}

	return all
}
