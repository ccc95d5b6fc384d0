package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// serveIn and servePort turn this test program into a server that can be killed.
const (
	serveIn   = "BACKBURN_TEST_SERVE_IN"
	servePort = "BACKBURN_TEST_SERVE_PORT"
)

func serveForever(dir string) {
	port, _ := strconv.Atoi(os.Getenv(servePort))
	s, err := server.NewServer(&server.Options{
		ServerName: "killed",
		Host:       "127.0.0.1",
		Port:       port,
		JetStream:  true,
		StoreDir:   dir,
		SyncAlways: true,
		NoLog:      true,
		NoSigs:     true,
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.Start()
	s.WaitForShutdown()
	os.Exit(0)
}

// victim is a server in a separate process.
type victim struct {
	dir string
	url string
	cmd *exec.Cmd
}

func newVictim(t *testing.T) *victim {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	v := &victim{dir: t.TempDir(), url: "nats://" + l.Addr().String()}
	t.Cleanup(v.kill)

	return v
}

func (v *victim) start(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(v.url[len("nats://"):])
	v.cmd = exec.Command(self)
	v.cmd.Env = append(os.Environ(), serveIn+"="+v.dir, servePort+"="+port)
	v.cmd.Stderr = os.Stderr
	if err := v.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (v *victim) kill() {
	if v.cmd != nil {
		_ = v.cmd.Process.Kill()
		_ = v.cmd.Wait()
		v.cmd = nil
	}
}

// connect waits for the server.
func (v *victim) connect(t *testing.T) *nats.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		nc, err := nats.Connect(v.url, nats.NoReconnect())
		if err == nil {
			return nc
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// The server is killed while a batch is being sent. After the restart, an acknowledged batch is
// complete; an unacknowledged one is complete or missing.
func TestServerKilledInsideABatch(t *testing.T) {
	t.Parallel()
	v := newVictim(t)
	v.start(t)
	nc := v.connect(t)
	openOn(t, nc)
	nc.Close()

	const rounds, each = 16, 300
	var whole, none int
	var took time.Duration // to an answer
	for round := range rounds {
		nc := v.connect(t)
		q := openOn(t, nc)
		groups := make([]*group, each)
		for i := range groups {
			groups[i] = groupOf(change(q.SampleSubject(fmt.Sprintf("%d-%d", round, i)), make([]byte, 2000), 0, nil).msg)
		}

		began := time.Now()
		sendAsBatch(q.ledger.commits, groups...)
		if round == 0 {
			await(t, groups...)
			took = time.Since(began)
		} else {
			time.Sleep(rand.N(2 * took)) // the rounds differ in the time of the kill
		}
		v.kill()
		acknowledged := isDone(groups[0]) && groups[0].messages[0].err == nil
		nc.Close()

		v.start(t)
		nc = v.connect(t)
		q = openOn(t, nc)
		there := 0
		for i := range each {
			s, err := q.ledger.Sample(t.Context(), fmt.Sprintf("%d-%d", round, i))
			if err != nil {
				t.Fatal(err)
			}
			if s.Revision != 0 {
				there++
			}
		}
		nc.Close()

		switch {
		case there == each:
			whole++
		case there == 0 && !acknowledged:
			none++
		default:
			t.Errorf("round %d: %d of %d records, acknowledged: %v", round, there, each, acknowledged)
		}
	}
	t.Logf("%d batches whole, %d not at all", whole, none)
}

func isDone(g *group) bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}
