package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backburn/internal/acl"
	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/natsconn"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
)

// A local process of another fleet is not shown.
func TestIsOfOtherFleet(t *testing.T) {
	t.Parallel()
	local := func(id string, simulated bool) app.Status {
		return app.Status{ID: id, Status: &queue.Status{Simulated: simulated}}
	}
	fleetOf := func(ids ...string) app.Status {
		s := &queue.Status{}
		for _, id := range ids {
			s.Members = append(s.Members, fleet.Member{ID: id})
		}

		return app.Status{Status: s}
	}

	for name, tc := range map[string]struct {
		local, own app.Status
		simulated  bool
		want       bool
	}{
		"a member":                         {local("a", false), fleetOf("b", "a"), false, false},
		"of another fleet":                 {local("a", false), fleetOf("b"), false, true},
		"a simulation":                     {local("a", true), app.Status{}, false, true},
		"a real one beside the simulation": {local("a", false), app.Status{}, true, true},
		"nothing is known":                 {app.Status{ID: "a"}, app.Status{}, false, false},
	} {
		if got := isOfOtherFleet(tc.local, tc.own, tc.simulated); got != tc.want {
			t.Errorf("%s: %t, want %t", name, got, tc.want)
		}
	}
}

// A command that is interrupted does not wait for a server that accepts connections and then hangs.
func TestConnectEndsWithItsContext(t *testing.T) {
	t.Parallel()
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hanging.Close() })
	cfg := config.Default()
	cfg.NATS.URL = "nats://" + hanging.Addr().String()
	cfg.NATS.Embedded.Enabled = false

	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := connectAs(interrupted, cfg, "test", acl.Operator, zerolog.Nop()); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
	late, cancel := context.WithDeadline(t.Context(), time.Now())
	defer cancel()
	if _, err := connectAs(late, cfg, "test", acl.Operator, zerolog.Nop()); !errors.Is(err, natsconn.ErrUnreachable) {
		t.Errorf("late: %v", err)
	}
}

// If NATS is lost, the other letters would fail, too, each after a timeout.
func TestLettersWithoutNATS(t *testing.T) {
	t.Parallel()
	calls := 0
	tool := &cli.App{Std: cli.Std{Out: io.Discard, Err: io.Discard}}
	err := (&deadFlags{}).forEach(tool, []uint64{1, 2, 3}, "dropped", func(uint64) (string, error) {
		calls++
		return "", nats.ErrTimeout
	})
	if calls != 1 || cli.Code(err) != cli.Unreachable {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// Without output nobody would learn which letters were dropped.
func TestLettersWithoutOutput(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		calls := 0
		tool := &cli.App{Std: cli.Std{Out: closedPipe{}, Err: io.Discard}}
		err := (&deadFlags{asJSON: asJSON}).forEach(tool, []uint64{1, 2, 3}, "dropped", func(uint64) (string, error) {
			calls++
			return "", nil
		})
		if calls != 1 || !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("as JSON %t: %d calls, %v", asJSON, calls, err)
		}
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestNoLetterHasAnEmptyName(t *testing.T) {
	t.Parallel()
	if _, err := findLetters(t.Context(), nil, []string{""}); cli.Code(err) != cli.Usage {
		t.Error(err)
	}
}

// Several sources may use the same job ID, and a job may have several letters, such as one for a
// conflict.
func TestLettersOfJobs(t *testing.T) {
	t.Parallel()
	var all []queue.Letter
	for i, ref := range []pipeline.Ref{
		{Source: "mail", ID: "4711"},
		{Source: "proxy", ID: "4711"},
		{Source: "mail", ID: "twice"},
		{Source: "mail", ID: "twice"},
		{Source: "mail", ID: ""},
		{Source: "proxy", ID: "mail/once"},
		{Source: "mail", ID: "only"},
	} {
		all = append(all, queue.Letter{Seq: uint64(i + 1), Job: pipeline.Job{Source: ref.Source, ID: ref.ID}})
	}

	for name, want := range map[string]struct {
		seqs []uint64
		err  string
	}{
		"only":       {seqs: []uint64{7}},
		"mail/only":  {seqs: []uint64{7}},
		"mail/4711":  {seqs: []uint64{1}},
		"proxy/4711": {seqs: []uint64{2}},
		"mail/once":  {seqs: []uint64{6}},
		"4711":       {err: "job 4711 has several letters; give the number of one: 1 (mail/4711), 2 (proxy/4711)"},
		"mail/twice": {err: "job mail/twice has several letters; give the number of one: 3 (mail/twice), 4 (mail/twice)"},
		"mail/":      {err: "no such dead letter of job mail/; `backburn dead list` shows the existing letters"},
		"hr/only":    {err: "no such dead letter of job hr/only; `backburn dead list` shows the existing letters"},
	} {
		seqs, err := lettersOfJobs(func(yield func(queue.Letter, error) bool) {
			for _, l := range all {
				if !yield(l, nil) {
					return
				}
			}
		}, []string{name})
		if !slices.Equal(seqs, want.seqs) || fmt.Sprint(err) != cmp.Or(want.err, "<nil>") {
			t.Errorf("%s: letters %v, error %v", name, seqs, err)
		}
	}
}

// A full queue does not keep "submit --wait --timeout" from ending.
func TestFullQueueAndTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var messages bytes.Buffer
		began, calls := time.Now(), 0
		full := func() error { calls++; return fmt.Errorf("submit: %w", pipeline.ErrFull) }
		err := repeatWhileFull(t.Context(), began.Add(5*time.Second), &messages, full)
		if !errors.Is(err, pipeline.ErrFull) || time.Since(began) != 5*time.Second || calls != 6 {
			t.Errorf("%v after %v and %d calls", err, time.Since(began), calls)
		}
		if messages.String() != "The queue is full; waiting for space.\n" {
			t.Errorf("messages %q", messages.String())
		}

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := repeatWhileFull(ctx, time.Time{}, io.Discard, full); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a timeout: %v", err)
		}
	})
}

// Fields of a letter come from whoever submitted the job.
func TestALetterIsPrintable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	printLetter(&b, queue.Letter{Job: pipeline.Job{SHA256: "\x1b[2J"}})
	if strings.Contains(b.String(), "\x1b") {
		t.Errorf("%q", b.String())
	}
}

// temporaryFolderWatcher notes whether the folder for temporary files was empty at the first write.
type temporaryFolderWatcher struct {
	dir     string
	written bool
	left    int
}

func (w *temporaryFolderWatcher) Write(p []byte) (int, error) {
	if !w.written {
		w.written = true
		entries, _ := os.ReadDir(w.dir)
		w.left = len(entries)
	}

	return len(p), nil
}

// The demo has removed its folder when it prints, because a reader such as head may end it then.
func TestDemoPrintsAtTheEnd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	out := &temporaryFolderWatcher{dir: dir}
	if code := run(t.Context(), []string{"demo", "--json", "--delay", "300ms"}, os.LookupEnv, nil, out, io.Discard); code != 0 || !out.written || out.left != 0 {
		t.Errorf("exit code %d, output %t, %d folders left", code, out.written, out.left)
	}
}

// A configuration may have an unencrypted URL only on this machine.
func TestURLOfASimulation(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{":8463": "http://127.0.0.1:8463", "0.0.0.0:1": "http://127.0.0.1:1", "[::1]:2": "http://[::1]:2"} {
		addr, err := net.ResolveTCPAddr("tcp", listen)
		if err != nil {
			t.Fatal(err)
		}
		if got := localURL(addr); got != want {
			t.Errorf("%s: %s, want %s", listen, got, want)
		}
	}
}
