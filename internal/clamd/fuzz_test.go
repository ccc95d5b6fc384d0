package clamd

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/judge"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// emptyQueue is a queue without verdicts that accepts nothing.
type emptyQueue struct{}

var errNotAccepted = errors.New("not accepted")

func (emptyQueue) Sample(context.Context, string) (queue.SampleEntry, error) {
	return queue.SampleEntry{}, nil
}

func (emptyQueue) Await(context.Context, pipeline.Ref) (results.Event, error) {
	return results.Event{}, errNotAccepted
}

func (emptyQueue) Submit(context.Context, pipeline.Job, queue.Input) (queue.Receipt, error) {
	return queue.Receipt{}, errNotAccepted
}

// Whatever a client sends, the connection ends when its input does, and contents are never answered
// with OK.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"PING\n", "zPING\x00", "nIDSESSION\nnPING\nnEND\n", "zINSTREAM\x00\x00\x00\x00\x02MZ\x00\x00\x00\x00",
		"zIDSESSION\x00zINSTREAM\x00\x00\x00\x00\x01M\x00\x00\x00\x00zSCAN /root/x\x00", "nFILDES\nx", "nSCAN /root\n",
		"zINSTREAM\x00\xff\xff\xff\xff", "z", "n", "\n", strings.Repeat("x", 5000),
	} {
		f.Add([]byte(seed))
	}
	dir, err := os.MkdirTemp("", "bb")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := DefaultConfig()
	cfg.Listen = "unix:" + filepath.Join(dir, "s")
	cfg.MaxConnections = 8
	cfg.Wait = 0
	cfg.MaxStream = 1000
	cfg.Roots = []string{"/root-that-is-not-there"}
	s, err := New(cfg, Deps{
		Judge:    judge.New(judge.Config{Ledger: emptyQueue{}, Intake: emptyQueue{}, ReuseDuration: pipeline.DefaultConfig().ReuseDuration}),
		Registry: prometheus.NewRegistry(),
		Log:      zerolog.Nop(),
	})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, 0) }()
	f.Cleanup(func() { cancel(); <-done })

	f.Fuzz(func(t *testing.T, sent []byte) {
		c, err := net.Dial("unix", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			_, _ = c.Write(sent)
			_ = c.(*net.UnixConn).CloseWrite()
		}()
		got, _ := io.ReadAll(c)
		if bytes.Contains(got, []byte(": OK")) && !bytes.Contains(sent, []byte{0, 0, 0, 0}) {
			t.Errorf("%q is answered with %q", sent, got)
		}
	})
}
