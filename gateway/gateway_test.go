package gateway_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/gateway"
	"backburn/internal/testkit/leaks"
	"backburn/pipeline/queue"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// startQueue starts a NATS server with Backburn's streams, as `backburn run` does.
func startQueue(dir string) (js jetstream.JetStream, stop func(), err error) {
	s, err := server.NewServer(&server.Options{
		Host:      "127.0.0.1",
		Port:      server.RANDOM_PORT,
		JetStream: true,
		StoreDir:  dir,
		NoSigs:    true,
	})
	if err != nil {
		return nil, nil, err
	}
	go s.Start()
	if !s.ReadyForConnections(time.Minute) {
		return nil, nil, errors.New("the server does not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		return nil, nil, err
	}
	stop = func() {
		nc.Close()
		s.Shutdown()
		s.WaitForShutdown()
	}
	if _, err = queue.Open(context.Background(), nc, queue.Topology{Prefix: "backburn"}); err != nil {
		stop()
		return nil, nil, err
	}
	js, err = jetstream.New(nc)

	return js, stop, err
}

func newGateway(t *testing.T) (*gateway.Gateway, jetstream.JetStream) {
	t.Helper()
	js, stop, err := startQueue(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	g, err := gateway.New(t.Context(), js, gateway.Config{Source: "mail"})
	if err != nil {
		t.Fatal(err)
	}

	return g, js
}

// Contents of any size become one job each, under the gateway's source.
func TestSubmittedContentsBecomeJobs(t *testing.T) {
	t.Parallel()
	g, js := newGateway(t)
	path := filepath.Join(t.TempDir(), "small.exe")
	if err := os.WriteFile(path, []byte("MZ"), 0o600); err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("x"), 3<<20) // more than a message holds

	for name, submit := range map[string]func() (gateway.Receipt, error){
		"file": func() (gateway.Receipt, error) {
			return g.SubmitFile(t.Context(), gateway.Job{ID: "a"}, path)
		},
		"reader": func() (gateway.Receipt, error) {
			return g.SubmitReader(t.Context(), gateway.Job{ID: "b", Filename: "large.iso", Priority: gateway.Urgent}, bytes.NewReader(large), 4<<20)
		},
		"link": func() (gateway.Receipt, error) {
			return g.SubmitLink(t.Context(), gateway.Job{}, "https://example.com/login")
		},
	} {
		r, err := submit()
		if err != nil || r.JobID == "" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}

	s, err := js.Stream(t.Context(), "BACKBURN_JOBS")
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context(), jetstream.WithSubjectFilter("backburn.jobs.*.mail"))
	if err != nil || info.State.Subjects["backburn.jobs.normal.mail"] != 2 || info.State.Subjects["backburn.jobs.urgent.mail"] != 1 {
		t.Errorf("%v, %v", info.State.Subjects, err)
	}
}

// Each error says whether it is worth trying again.
func TestErrorsMatchTheirSentinels(t *testing.T) {
	t.Parallel()
	g, js := newGateway(t)
	large := bytes.Repeat([]byte("x"), 3<<20) // more than a message holds
	for name, tc := range map[string]struct {
		err  func() error
		want error
	}{
		"no name": {func() error {
			_, err := g.SubmitReader(t.Context(), gateway.Job{}, strings.NewReader("MZ"), 10)
			return err
		}, gateway.ErrInvalid},
		"too long": {func() error {
			_, err := g.SubmitReader(t.Context(), gateway.Job{Filename: "x"}, strings.NewReader("MZ MZ MZ MZ"), 10)
			return err
		}, gateway.ErrTooLarge},
		"a folder": {func() error {
			_, err := g.SubmitFile(t.Context(), gateway.Job{}, t.TempDir())
			return err
		}, gateway.ErrInvalid},
		"no file": {func() error {
			_, err := g.SubmitFile(t.Context(), gateway.Job{}, filepath.Join(t.TempDir(), "gone"))
			return err
		}, os.ErrNotExist},
		"no link": {func() error {
			_, err := g.SubmitLink(t.Context(), gateway.Job{}, "ftp://example.com/")
			return err
		}, gateway.ErrInvalid},
		"no source": {func() error {
			_, err := gateway.New(t.Context(), js, gateway.Config{Source: "Mail!"})
			return err
		}, gateway.ErrInvalid},
		"no answer in time": {func() error {
			ctx, cancel := context.WithDeadline(t.Context(), time.Now())
			defer cancel()
			_, err := g.SubmitLink(ctx, gateway.Job{}, "https://example.com/")
			return err
		}, gateway.ErrUnavailable},
		"other contents": {func() error {
			job := gateway.Job{ID: "again", Filename: "x"}
			_, err := g.SubmitReader(t.Context(), job, bytes.NewReader(large), 4<<20)
			if err == nil {
				_, err = g.SubmitReader(t.Context(), job, bytes.NewReader(large[1:]), 4<<20)
			}
			return err
		}, gateway.ErrOtherContents},
		"no room for contents": {func() error {
			g, js := newGateway(t)
			bucket, err := js.Stream(t.Context(), "OBJ_backburn_files")
			if err != nil {
				return err
			}
			full := bucket.CachedInfo().Config
			full.MaxBytes = int64(len(large)) / 2
			if _, err := js.UpdateStream(t.Context(), full); err != nil {
				return err
			}
			_, err = g.SubmitReader(t.Context(), gateway.Job{Filename: "x"}, bytes.NewReader(large), 4<<20)
			return err
		}, gateway.ErrFull},
		"no queue": {func() error {
			_, err := gateway.New(t.Context(), js, gateway.Config{Source: "mail", Prefix: "other"})
			return err
		}, gateway.ErrUnavailable},
	} {
		if err := tc.err(); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}

// A gateway may have every permission. Even then it creates no stream that is missing, and changes
// none, because it does not know the configured limits.
func TestAGatewayCreatesNothing(t *testing.T) {
	t.Parallel()
	g, js := newGateway(t)
	if err := js.DeleteStream(t.Context(), "BACKBURN_JOBS"); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := g.SubmitLink(ctx, gateway.Job{}, "https://example.com/"); !errors.Is(err, gateway.ErrUnavailable) {
		t.Errorf("submit without a stream: %v", err)
	}
	if _, err := js.Stream(t.Context(), "BACKBURN_JOBS"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("the stream: %v", err)
	}
}
