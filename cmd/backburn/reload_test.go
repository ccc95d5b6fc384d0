package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"backburn/internal/testkit"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

const (
	reloaded     = "SIGHUP: configuration reloaded, files of sinks reopened"
	refused      = "SIGHUP: configuration rejected; keeping the current settings"
	needsRestart = "SIGHUP: restart the process to apply the changes of these keys"
)

// Settings are reloaded while files are in progress: nothing is lost or uploaded twice, the new
// rate, policy, sinks and log level apply, and the keys that need a restart are logged.
func TestReloadUnderLoad(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"worker.rate": 0, "worker.concurrency": 4, "log.level": "info"})
	p := s.Start("backburn", "run")
	p.Logged("ready")
	js := s.Queue(p)

	files := testkit.Mixed(80, rand.New(rand.NewPCG(1, 4)))
	s.Drop(files[:40]...)
	s.Called(func() bool { return s.WildFire.Count(wildfire.OpSubmitFile) >= 10 })

	s.Configure(testkit.Settings{
		"worker.rate":        10,
		"worker.burst":       1,
		"worker.concurrency": 5,
		"watch.settle":       "100ms",
		"log.level":          "debug",
	})
	s.Append("[[policy]]\nname = \"*.secret\"\nsubmit = \"never\"\n" +
		"[[sink]]\nname = \"siem\"\nkind = \"file\"\npath = \"events.jsonl\"\n")
	p.Signal(syscall.SIGHUP)
	line := p.Logged(reloaded)
	if got, want := fieldWords(line, "changed"), []string{"log.level", "policy", "sink", "worker.burst", "worker.rate"}; !slices.Equal(got, want) {
		t.Errorf("reloaded: %q, want %q", got, want)
	}
	if got, want := fieldWords(p.Logged(needsRestart), "keys"), []string{"watch", "worker.concurrency"}; !slices.Equal(got, want) {
		t.Errorf("needs a restart: %q, want %q", got, want)
	}

	atOnce := s.WildFire.Count(wildfire.OpSubmitFile)

	s.Drop(files[40:]...)
	withheld := testkit.File{Name: "plan.secret", Body: []byte("a plan that must not leave"), Verdict: "withheld"}
	s.Drop(withheld)
	all := append(slices.Clone(files), withheld)
	testkit.OneEach(t, all, testkit.Finals(t, js, len(all)))
	s.OnceUploaded(files)
	if n := s.WildFire.UploadCount(withheld.SHA256()); n != 0 {
		t.Errorf("%d uploads of files that the new policy withholds", n)
	}

	// At most as many uploads as slots had passed the limit before; the others keep to the new
	// rate.
	calls := slices.DeleteFunc(s.WildFire.Calls(), func(c wildfiretest.Call) bool { return c.Op != wildfire.OpSubmitFile })
	late := calls[atOnce+5:]
	if len(late) < 20 {
		t.Fatalf("%d uploads after the reload are too few to measure the rate", len(late))
	}

	took := late[len(late)-1].Time.Sub(late[0].Time).Seconds()
	if perSecond := float64(len(late)-2) / took; perSecond > 11 {
		t.Errorf("%.1f uploads a second after the reload, want at most 10", perSecond)
	}

	s.Until("a verdict in the new sink's file", func() bool {
		b, _ := os.ReadFile(s.Path("events.jsonl"))
		return strings.Contains(string(b), "plan.secret")
	})
	if !strings.Contains(p.Stderr(), `"level":"debug"`) {
		t.Error("the log has no line of the new level")
	}

	// Removed settings no longer apply, and the others do.
	s.Configure(testkit.Settings{"worker.rate": 0, "worker.concurrency": 4, "log.level": "info"})
	p.Signal(syscall.SIGHUP)
	p.Until("/metrics", func(_ int, body string) bool { return !strings.Contains(body, `sink="siem"`) })
	p.Until("/readyz", func(code int, body string) bool { return code == 200 && !strings.Contains(body, `"siem"`) })
	last := testkit.File{Name: "last.secret", Body: []byte("no secret any more"), Verdict: "benign"}
	s.Drop(last)
	all = append(all, last)
	testkit.OneEach(t, all, testkit.Finals(t, js, len(all)))
	p.Stop()
	if b, _ := os.ReadFile(s.Path("events.jsonl")); strings.Contains(string(b), "last.secret") {
		t.Error("a sink that was taken out of the configuration was handed an event")
	}
}

// fieldWords returns the sorted values of a field.
func fieldWords(l testkit.Line, field string) []string {
	var all []string
	list, _ := l[field].([]any)
	for _, v := range list {
		text, _ := v.(string)
		all = append(all, text)
	}
	slices.Sort(all)

	return all
}

// An invalid file changes nothing, and all outputs report it until the next valid one.
func TestReloadRefused(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"log.level": "info"})
	p := s.Start("backburn", "run")
	p.Logged("ready")

	for name, wrong := range map[string]struct {
		text  string
		names *regexp.Regexp
	}{
		"no TOML":       {"[[policy]\n", regexp.MustCompile(`backburn\.toml:\d+:\d+`)},
		"a wrong value": {"[[policy]]\nsubmit = \"often\"\n", regexp.MustCompile(`policy\[0\]\.submit.*often`)},
		"an unknown key": {
			"[[sink]]\nname = \"x\"\nkind = \"file\"\npath = \"x.jsonl\"\ncolour = 1\n",
			regexp.MustCompile(`colour`),
		},
		"reports": {"[[policy]]\nreport = \"always\"\n", regexp.MustCompile(`policy: .*needs a restart`)},
	} {
		s.Configure(testkit.Settings{"log.level": "debug"})
		s.Append(wrong.text)
		p.Signal(syscall.SIGHUP)
		p.Until("/readyz", func(code int, body string) bool {
			return code == 200 && strings.Contains(body, `"part":"configuration","state":"degraded"`) && wrong.names.MatchString(body)
		})

		s.Configure(testkit.Settings{"log.level": "info"})
		p.Signal(syscall.SIGHUP)
		p.Until("/readyz", func(_ int, body string) bool { return strings.Contains(body, `"part":"configuration","state":"ok"`) })
		if t.Failed() {
			t.Fatal(name)
		}
	}

	if l := p.Logged(refused); len(fieldWords(l, "problems")) == 0 {
		t.Errorf("the log does not have the error: %v", l)
	}
	if strings.Contains(p.Stderr(), `"level":"debug"`) {
		t.Error("a part of a refused configuration was taken up")
	}

	f := testkit.File{Name: "a.exe", Body: []byte("MZ a"), Verdict: "benign"}
	s.Drop(f)
	testkit.OneEach(t, []testkit.File{f}, testkit.Finals(t, s.Queue(p), 1))
	p.Stop()
}

// A reload that fails for one part changes no other part: a sink that should change continues as it
// was, and a sink that should be removed stays.
func TestReloadIsAllOrNothing(t *testing.T) {
	t.Parallel()
	fileSink := func(name, file string) string {
		return fmt.Sprintf("[[sink]]\nname = %q\nkind = \"file\"\npath = %q\n", name, file)
	}
	s := testkit.NewSite(t)
	s.Configure(testkit.Settings{"log.level": "info"})
	s.Append(fileSink("changes", "changes.jsonl") + fileSink("goes", "goes.jsonl"))
	p := s.Start("backburn", "run")
	p.Logged("ready")
	js := s.Queue(p)

	// No file can have the name for dead letters, which is noticed only when it is opened.
	letters := strings.Repeat("l", 300)
	s.Configure(testkit.Settings{"log.level": "debug"})
	s.Append("[[policy]]\nname = \"*.exe\"\nsubmit = \"never\"\n" +
		fileSink("changes", "other.jsonl") +
		"[[sink]]\nname = \"fails\"\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/\"\ndead_file = \"" + letters + "\"\n")
	p.Signal(syscall.SIGHUP)
	if got := fieldWords(p.Logged(refused), "problems"); len(got) != 1 || !strings.Contains(got[0], "sink fails: dead_file") {
		t.Errorf("refused for %q", got)
	}

	f := testkit.File{Name: "a.exe", Body: []byte("MZ a"), Verdict: "benign"}
	s.Drop(f)
	testkit.OneEach(t, []testkit.File{f}, testkit.Finals(t, js, 1))
	for _, sink := range []string{"changes", "goes"} {
		s.Until("the event in the file of the sink "+sink, func() bool {
			b, _ := os.ReadFile(s.Path(sink + ".jsonl"))
			return strings.Contains(string(b), `"verdict":"benign"`)
		})
		p.Until("/metrics", func(_ int, body string) bool {
			return strings.Contains(body, fmt.Sprintf(`backburn_sink_events_total{outcome="sent",sink=%q}`, sink))
		})
		p.Until("/readyz", func(_ int, body string) bool { return strings.Contains(body, fmt.Sprintf("%q", sink)) })
	}

	if _, err := os.Stat(s.Path("other.jsonl")); err == nil {
		t.Error("a sink of the refused configuration runs")
	}
	if strings.Contains(p.Stderr(), `"level":"debug"`) {
		t.Error("the log level of the refused configuration applies")
	}

	p.Stop()
}

// Jobs that wait for the budget of the day or of a rule continue when the configuration raises it.
func TestReloadRaisesABudget(t *testing.T) {
	t.Parallel()
	for name, configure := range map[string]func(s *testkit.Site, n int){
		"of the day": func(s *testkit.Site, n int) {
			s.Configure(testkit.Settings{"wildfire.uploads_per_day": n, "wildfire.reserve_percent": 0})
		},
		"of a rule": func(s *testkit.Site, n int) {
			s.Configure(testkit.Settings{"wildfire.uploads_per_day": 1000})
			s.Append(fmt.Sprintf("[[policy]]\nextension = \".exe\"\nuploads_per_day = %d\n", n))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := testkit.NewSite(t)
			configure(s, 2)
			p := s.Start("backburn", "run")
			p.Logged("ready")
			js := s.Queue(p)
			files := make([]testkit.File, 6)
			for i := range files {
				files[i] = testkit.File{Name: fmt.Sprintf("%d.exe", i), Body: fmt.Appendf(nil, "MZ %d", i), Verdict: "benign"}
			}

			s.Drop(files...)
			parked := func(n int) {
				t.Helper()
				p.Until("/metrics", func(_ int, body string) bool {
					return strings.Contains(body, fmt.Sprintf(`backburn_fleet_jobs{state="parked"} %d`, n))
				})
			}
			parked(4)

			configure(s, 5)
			p.Signal(syscall.SIGHUP)
			parked(1)
			if n := s.WildFire.Count(wildfire.OpSubmitFile); n != 5 {
				t.Errorf("%d uploads with a budget of 5", n)
			}

			configure(s, 0)
			p.Signal(syscall.SIGHUP)
			testkit.OneEach(t, files, testkit.Finals(t, js, len(files)))
			p.Stop()
		})
	}
}
