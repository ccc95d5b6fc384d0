//go:build unix

package auth_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"backburn/auth"
	"backburn/auth/authtest"
)

// crashEnv makes the test binary a child that refreshes once and dies at a stage.
const crashEnv = "BACKBURN_TEST_CRASH"

func init() { children[crashEnv] = crash }

type crashOrder struct {
	Stage   string
	Profile auth.Profile
	Secret  string
}

// crash is the child's part. It does not return.
func crash(order string) {
	var o crashOrder
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		os.Exit(3)
	}
	o.Profile.ClientSecret = auth.NewSecret(o.Secret)
	s, err := auth.New(o.Profile, auth.WithPersistHook(func(stage string) {
		if stage == o.Stage {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}))
	if err != nil {
		os.Exit(4)
	}
	_, _ = s.Token(context.Background())
	os.Exit(5) // it should have died
}

// TestKilledWhileRefreshing kills a process with SIGKILL at each stage between the answer
// with a rolled refresh token and its being durable. The next process must be able to
// refresh. The server honors the old refresh token until the new one is used: that is why
// a new one must not be used before it is durable.
func TestKilledWhileRefreshing(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"response", "written", "synced", "renamed", "durable"} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			srv := cortexServer(t, func(c *authtest.Config) { c.Roll = true })
			p := cortexProfile(t, srv)
			login(t, p)
			p.ClientSecret = auth.Secret{} // travels beside it
			order, err := json.Marshal(crashOrder{stage, p, "canary-secret-0b7e"})
			if err != nil {
				t.Fatal(err)
			}

			for round := range 3 { // repeated crashes
				before := len(srv.Requests())
				cmd := exec.Command(os.Args[0], "-test.run=^$")
				cmd.Env = append(os.Environ(), crashEnv+"="+string(order))
				out, err := cmd.CombinedOutput()
				if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
					t.Fatalf("round %d: the child ended with %v, want SIGKILL: %s", round, err, out)
				}
				if len(srv.Requests()) == before {
					t.Fatalf("round %d: the child never asked", round)
				}
			}

			p.ClientSecret = auth.NewSecret("canary-secret-0b7e")
			s := open(t, p)
			token(t, s)
			if st := s.Status(); st.GrantGeneration == 0 || st.GrantUnsaved {
				t.Errorf("status %+v", st)
			}

			noLeftovers(t, filepath.Dir(p.GrantFile))
		})
	}
}

// noLeftovers checks that what a crash left behind is private and sealed.
func noLeftovers(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}

	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}

		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "refresh_token") {
			t.Errorf("%s is not sealed", e.Name())
		}
	}
}
