//go:build unix

package main

import (
	"math/rand/v2"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// addressInUse returns an address that is in use until the test ends.
func addressInUse(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })

	return l.Addr().String()
}

func TestRunReportsTheFault(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(t *testing.T, s *testkit.Site) testkit.Settings
		code    int
		says    string // a regular expression
	}{
		"broken TOML": {func(_ *testing.T, s *testkit.Site) testkit.Settings {
			s.WriteFile("backburn.toml", "[nats]\nurl = nats://\n")
			return nil
		}, 2, `^backburn\.toml:2:`},
		"unknown key": {func(*testing.T, *testkit.Site) testkit.Settings {
			return testkit.Settings{"worker.concurency": 3}
		}, 2, `^backburn\.toml:\d+:\d+: worker\.concurency: unknown key; did you mean "concurrency"\?`},
		"no secret file": {func(*testing.T, *testkit.Site) testkit.Settings {
			return testkit.Settings{"auth.wildfire.client_secret": nil, "auth.wildfire.client_secret_file": "missing.secret"}
		}, 2, `auth\.wildfire\.client_secret_file: secret file: open missing\.secret: no such file`},
		"no credentials": {func(*testing.T, *testkit.Site) testkit.Settings {
			return testkit.Settings{"auth.wildfire.client_id": nil, "auth.wildfire.client_secret": nil}
		}, 2, `auth\.wildfire\.client_id: is required`},
		"no folder": {func(_ *testing.T, s *testkit.Site) testkit.Settings {
			return testkit.Settings{"watch.path": s.Path("nowhere")}
		}, 2, `watch\[0\]\.path: there is no folder ".*nowhere"; create it`},
		"a file for a folder": {func(_ *testing.T, s *testkit.Site) testkit.Settings {
			s.WriteFile("file", "")
			return testkit.Settings{"watch.path": s.Path("file")}
		}, 2, `watch\[0\]\.path: expected a folder; ".*file" is not one`},
		"a file for the spool": {func(_ *testing.T, s *testkit.Site) testkit.Settings {
			s.WriteFile("quarantine/.backburn", "")
			return nil
		}, 2, `\.backburn is not a folder; remove it`},
		"a folder for two": {func(_ *testing.T, s *testkit.Site) testkit.Settings {
			s.Configure(nil)
			b, err := os.ReadFile(s.Path("backburn.toml"))
			if err != nil {
				panic(err)
			}

			s.WriteFile("backburn.toml", string(b)+"[[watch]]\npath = \"quarantine/sub\"\n")

			return nil
		}, 2, `watch\[1\]\.path: is inside the folder of watch\[0\]`},
		"port of NATS in use": {func(t *testing.T, _ *testkit.Site) testkit.Settings {
			return testkit.Settings{"nats.url": "nats://" + addressInUse(t)}
		}, 4, `the port is in use: stop what listens there, or set another port in nats\.url`},
		"port of HTTP in use": {func(t *testing.T, _ *testkit.Site) testkit.Settings {
			return testkit.Settings{"http.listen": addressInUse(t)}
		}, 4, `http\.listen: .*address already in use; free the address, choose another, or set "" for none`},
		"nobody answers": {func(t *testing.T, _ *testkit.Site) testkit.Settings {
			return testkit.Settings{"nats.url": "nats://" + unusedAddress(t), "nats.embedded.enabled": false}
		}, 4, `no NATS server answers.*start one with .backburn run., or set nats\.url`},
		"credentials refused": {func(t *testing.T, _ *testkit.Site) testkit.Settings {
			ns := testkit.StartNATS(t, &server.Options{Authorization: "another"})
			return testkit.Settings{"nats.url": ns.ClientURL(), "nats.embedded.enabled": false}
		}, 4, `the NATS server refuses the credentials.*set nats\.credentials_file, nats\.nkey_file`},
		"two on one store": {func(_ *testing.T, s *testkit.Site) testkit.Settings {
			s.Start("backburn", "run").Logged("ready")
			return nil
		}, 4, `another server uses this store: stop the other .backburn run.`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewSite(t)
			file := testkit.File{Name: "sub/sample.bin", Body: []byte("must not be lost"), Verdict: "benign"}
			if changes := tc.prepare(t, s); changes != nil {
				s.Configure(changes)
			}

			p := s.Start("backburn", "run")
			if code := p.Wait(); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			if !regexp.MustCompile(`(?m)` + tc.says).MatchString(p.Stderr()) {
				t.Errorf("the error is %q, want %s", p.Stderr(), tc.says)
			}
			if strings.Contains(p.Stderr(), "goroutine ") {
				t.Errorf("it panicked: %s", p.Stderr())
			}

			s.Drop(file)
			if left := s.Left(); tc.code == 2 && len(left) == 0 {
				t.Error("the file is gone")
			}
		})
	}
}

// Unusable answers of the service lose no file: each gets its verdict as soon as the service works
// again.
func TestWildFireInTrouble(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		rules []wildfiretest.Rule
		heals func(s *testkit.Site) bool // when the trouble ends
	}{
		"HTML with 502": {
			[]wildfiretest.Rule{{Fault: wildfiretest.Fault{Status: 502, Body: wildfiretest.HTMLBody}}},
			func(s *testkit.Site) bool { return s.WildFire.CountStatus(wildfire.OpVerdicts, 502) >= 4 },
		},
		"HTML with 502 for uploads": {
			[]wildfiretest.Rule{{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 502, Body: wildfiretest.HTMLBody}}},
			func(s *testkit.Site) bool { return s.WildFire.CountStatus(wildfire.OpSubmitFile, 502) >= 5 }, // then uploads are paused
		},
		"HTML with 200": {
			[]wildfiretest.Rule{{Fault: wildfiretest.Fault{Style: wildfiretest.HTML200}}},
			func(s *testkit.Site) bool { return s.WildFire.CountStatus(wildfire.OpVerdicts, 200) >= 1 }, // then queries are paused
		},
		"HTML with 200 for uploads": { // but it has counted the uploads
			[]wildfiretest.Rule{{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Style: wildfiretest.HTML200}}},
			func(s *testkit.Site) bool { return s.WildFire.CountStatus(wildfire.OpSubmitFile, 200) >= 1 }, // then uploads are paused
		},
		"connections break": {
			[]wildfiretest.Rule{{Fault: wildfiretest.Fault{LoseAnswer: true}}},
			func(s *testkit.Site) bool { return s.WildFire.CountStatus(wildfire.OpVerdicts, 0) >= 4 },
		},
		"answers to uploads are lost": {
			[]wildfiretest.Rule{{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{LoseAnswer: true}}},
			func(s *testkit.Site) bool { return s.WildFire.CountStatus(wildfire.OpSubmitFile, 0) >= 5 }, // then uploads are paused
		},
		"no token": {
			[]wildfiretest.Rule{{Op: wildfiretest.OpToken, Fault: wildfiretest.Fault{Status: 503}}},
			func(s *testkit.Site) bool { return s.WildFire.CountStatus(wildfiretest.OpToken, 503) >= 2 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewSite(t)
			s.Configure(testkit.Settings{"worker.max_attempts": 1000})
			var heal []func()
			for _, r := range tc.rules {
				heal = append(heal, s.WildFire.Inject(r))
			}

			files := testkit.Mixed(10, rand.New(rand.NewPCG(4, 4)))
			p := s.Start("backburn", "run")
			s.Drop(files...)
			s.Called(func() bool { return tc.heals(s) })
			for _, end := range heal {
				end()
			}

			testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
			s.OnceUploaded(files)
			s.NothingLeft(len(files))
			p.Stop()
		})
	}
}

// With a refused credential no job fails: the process reports it, is not ready, and continues when
// the credential is accepted again. It makes no calls for half a minute meanwhile, so the cases run
// concurrently regardless of -parallel.
func TestCredentialRefused(t *testing.T) {
	t.Parallel()
	const key = "a key that must not show"
	keyProfile := testkit.Settings{
		"auth.wildfire.kind": "api-key", "auth.wildfire.api_key_file": "key", "auth.wildfire.client_id": nil,
		"auth.wildfire.client_secret": nil, "auth.wildfire.tsg_id": nil, "auth.wildfire.token_url": nil,
	}
	files := testkit.Mixed(5, rand.New(rand.NewPCG(5, 5)))
	var sites []*testkit.Site
	var processes []*testkit.Process
	for _, tc := range []struct {
		settings testkit.Settings
		op       wildfire.Op
		status   int
		says     string // in /readyz
	}{
		{nil, "", 401, "status 401"},
		{keyProfile, "", 401, "401"},
		{nil, wildfire.OpSubmitFile, 403, "uploads are paused until"},
	} {
		s := testkit.NewSite(t, wildfiretest.WithAPIKey(key))
		s.WriteFile("key", key+"\n")
		s.Configure(tc.settings)
		heal := s.WildFire.Inject(wildfiretest.Rule{Op: tc.op, Fault: wildfiretest.Fault{Status: tc.status}})
		p := s.Start("backburn", "run")
		s.Drop(files...)
		p.Until("/readyz", func(status int, body string) bool { return status == 503 && strings.Contains(body, tc.says) })
		heal()
		sites, processes = append(sites, s), append(processes, p)
	}

	for i, s := range sites {
		p := processes[i]
		testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
		s.OnceUploaded(files)
		p.Until("/readyz", func(status int, _ string) bool { return status == 200 })
		p.Stop()
		if strings.Contains(p.Stderr(), key) {
			t.Error("the key is in the log")
		}
	}
}

func TestServiceIsDownAtStart(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"auth.wildfire.token_url": "http://" + unusedAddress(t) + "/token"})
	files := testkit.Mixed(3, rand.New(rand.NewPCG(7, 7)))
	p := s.Start("backburn", "run")
	s.Drop(files...)
	p.Until("/readyz", func(status int, body string) bool {
		return status == 503 && strings.Contains(body, `"part":"token","of":"wildfire","state":"failed"`)
	})
	p.Stop()
	if n := s.WildFire.Count(""); n != 0 {
		t.Errorf("WildFire was called %d times without a token", n)
	}

	s.Configure(nil)
	p = s.Start("backburn", "run")
	testkit.OneEach(t, files, testkit.Finals(t, s.Queue(p), len(files)))
	s.OnceUploaded(files)
	p.Stop()
}
