package auth_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/auth"
	"backburn/auth/authtest"
	"backburn/auth/natsbucket"
)

// memberEnv makes the test binary one process of a fleet. It reads a refused token per line,
// reports it to the Source in 25 goroutines, and prints the distinct tokens that they then get.
const memberEnv = "BACKBURN_TEST_MEMBER"

const (
	processes  = 8
	goroutines = 25
)

type memberConfig struct {
	NATS    string
	Profile auth.Profile
	Secret  string
}

func member(order string) {
	if err := serveMember(order, os.Stdin, os.Stdout); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveMember(order string, in io.Reader, out io.Writer) error {
	var o memberConfig
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		return err
	}

	o.Profile.ClientSecret = auth.NewSecret(o.Secret)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	nc, err := nats.Connect(o.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}

	bucket, err := natsbucket.Tokens(ctx, js, "backburn_tokens", 1, 0)
	if err != nil {
		return err
	}

	s, err := auth.New(o.Profile, auth.WithBucket(bucket), auth.WithFreshFor(0))
	if err != nil {
		return err
	}
	defer s.Close()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		refused := lines.Text()
		got := make([]string, goroutines)
		errs := make([]error, goroutines)
		var wg sync.WaitGroup
		for i := range got {
			wg.Go(func() {
				s.Rejected(refused)
				got[i], errs[i] = s.Token(ctx)
			})
		}

		wg.Wait()
		for _, err := range errs {
			if err != nil {
				return err
			}
		}

		slices.Sort(got)
		fmt.Fprintln(out, strings.Join(slices.Compact(got), " "))
	}

	return nil
}

// jetStream starts a JetStream server on a temporary store.
func jetStream(t *testing.T) string {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		JetStreamMaxStore: 1 << 28, JetStreamMaxMemory: 1 << 26,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the NATS server did not start")
	}
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})

	return srv.ClientURL()
}

// members is a fleet of processes, see memberEnv.
type members struct {
	in  []io.WriteCloser
	out []*bufio.Scanner
}

// ask sends a refused token to every member concurrently, and returns the distinct tokens.
func (c members) ask(t *testing.T, refused string) []string {
	t.Helper()
	for _, w := range c.in {
		if _, err := fmt.Fprintln(w, refused); err != nil {
			t.Fatal(err)
		}
	}

	var all []string
	for i, r := range c.out {
		if !r.Scan() {
			t.Fatalf("member %d ended: %v", i, r.Err())
		}
		if strings.HasPrefix(r.Text(), "error:") {
			t.Fatalf("member %d: %s", i, r.Text())
		}

		all = append(all, strings.Fields(r.Text())...)
	}

	slices.Sort(all)

	return slices.Compact(all)
}

// startMembers starts the members as processes, or as goroutines with separate connections, which
// the race detector can check.
func startMembers(t *testing.T, order []byte, asProcesses bool) members {
	t.Helper()
	var c members
	for range processes {
		if !asProcesses {
			inR, inW := io.Pipe()
			outR, outW := io.Pipe()
			done := make(chan struct{})
			go func() {
				defer close(done)
				if err := serveMember(string(order), inR, outW); err != nil {
					fmt.Fprintln(outW, "error:", err)
				}

				_ = outW.Close()
				_ = inR.Close()
			}()
			t.Cleanup(func() { _ = inW.Close(); <-done })
			c.in, c.out = append(c.in, inW), append(c.out, bufio.NewScanner(outR))
			continue
		}

		cmd := exec.Command(os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), memberEnv+"="+string(order))
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}

		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}

		t.Cleanup(func() {
			_ = in.Close()
			if err := cmd.Wait(); err != nil {
				t.Errorf("member: %v", err)
			}
		})
		c.in, c.out = append(c.in, in), append(c.out, bufio.NewScanner(out))
	}

	return c
}

// TestFleetOverJetStreamMakesOneRequest runs 8 members of 25 goroutines over a real JetStream
// server and a real authorization server: one token request when all start without a token, one
// more when all have reported a 401, and none when some report the old token again.
func TestFleetOverJetStreamMakesOneRequest(t *testing.T) {
	t.Parallel()
	for name, asProcesses := range map[string]bool{"processes": true, "connections": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := wildfireProfile()
			srv := serve(t, authtest.Config{ClientID: p.ClientID, ClientSecret: "canary-secret-0b7e", Scope: "tsg_id:1234567890"})
			p.TokenURL = srv.TokenURL()
			p.ClientSecret = auth.Secret{} // passed separately, because a Secret is not encoded
			order, err := json.Marshal(memberConfig{jetStream(t), p, "canary-secret-0b7e"})
			if err != nil {
				t.Fatal(err)
			}

			c := startMembers(t, order, asProcesses)
			cold := c.ask(t, "")
			if len(cold) != 1 || len(srv.Requests()) != 1 {
				t.Fatalf("at the start: %d tokens, %d token requests; want one of each", len(cold), len(srv.Requests()))
			}

			warm := c.ask(t, cold[0])
			if len(warm) != 1 || warm[0] == cold[0] || len(srv.Requests()) != 2 {
				t.Fatalf("after the refusal: %d tokens, %d token requests; want one more of each", len(warm), len(srv.Requests()))
			}
			if late := c.ask(t, cold[0]); len(late) != 1 || late[0] != warm[0] || len(srv.Requests()) != 2 {
				t.Errorf("after late reports: %d tokens, %d token requests; want the same one and none", len(late), len(srv.Requests()))
			}
		})
	}
}
