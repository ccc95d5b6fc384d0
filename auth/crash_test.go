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

// crashEnv makes the test binary a child process that refreshes once and is killed at a stage.
const crashEnv = "BACKBURN_TEST_CRASH"

func init() { childProcesses[crashEnv] = crash }

type crashConfig struct {
	Stage   string
	Profile auth.Profile
	Secret  string
}

// crash runs the child process. It does not return.
func crash(order string) {
	var o crashConfig
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
	os.Exit(5) // the hook should have killed the process
}

// TestAKilledRefreshDoesNotLoseTheGrant kills a process with SIGKILL at each stage between the
// answer with a rolled refresh token and the end of storing it. The next process must be able to
// refresh. The server honors the old refresh token until the new one is used, so a new one must not
// be used before it is durable.
func TestAKilledRefreshDoesNotLoseTheGrant(t *testing.T) {
	t.Parallel()
	for _, stage := range []string{"response", "written", "synced", "renamed", "durable"} {
		t.Run(stage, func(t *testing.T) {
			t.Parallel()
			srv := cortexServer(t, func(c *authtest.Config) { c.Roll = true })
			p := cortexProfile(t, srv)
			login(t, p)
			p.ClientSecret = auth.Secret{} // passed separately, because a Secret is not encoded
			order, err := json.Marshal(crashConfig{stage, p, "canary-secret-0b7e"})
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
					t.Fatalf("round %d: the child made no request", round)
				}
			}

			p.ClientSecret = auth.NewSecret("canary-secret-0b7e")
			s := open(t, p)
			token(t, s)
			if st := s.Status(); st.GrantGeneration == 0 || st.GrantUnsaved {
				t.Errorf("status %+v", st)
			}

			checkPrivateAndSealed(t, filepath.Dir(p.GrantFile))
		})
	}
}

// checkPrivateAndSealed checks that all files that a crash left in dir are private and sealed.
func checkPrivateAndSealed(t *testing.T, dir string) {
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
