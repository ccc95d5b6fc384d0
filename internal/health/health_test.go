package health_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"backburn/internal/health"
	"backburn/internal/testkit/leaks"
	"backburn/internal/testkit/logbuf"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// logBuffer is a log that is safe for concurrent use.
type logBuffer struct{ logbuf.Buffer }

// lines returns the messages so far, with their levels.
func (l *logBuffer) lines() []string {
	var out []string
	for _, line := range strings.Split(strings.TrimSpace(l.String()), "\n") {
		var m struct{ Level, Message, Reason string }
		if json.Unmarshal([]byte(line), &m) == nil {
			out = append(out, strings.TrimSpace(m.Level+": "+m.Message+" "+m.Reason))
		}
	}
	return out
}

// A part has the state that was reported last and the time when it began, and one success ends any
// fault.
func TestPartIsWhatWasReportedLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := health.New(zerolog.Nop())
		p := r.Part("folder_claim", "mail")
		start := time.Now().UTC()
		wait := func() { time.Sleep(time.Second) }
		for i, step := range []struct {
			do    func()
			state health.State
			since time.Duration
			cause health.Cause
			text  string
		}{
			{func() {}, health.OK, 0, "", ""},
			{func() { p.Fault(health.Fault{Reason: "no space", Remedy: "free some"}) }, health.Failed, 2 * time.Second, health.CauseOther, "no space; free some"},
			{func() { p.Fault(health.Fault{Reason: "odd", State: health.Degraded, Cause: health.CauseTCP}) }, health.Degraded, 2 * time.Second, health.CauseTCP, "odd"},
			{func() { p.OK() }, health.OK, 4 * time.Second, "", ""},
			{func() { p.Check(health.Note("one file is odd")) }, health.OK, 4 * time.Second, "", "one file is odd"},
			{func() { p.Check(errors.New("x")) }, health.Failed, 6 * time.Second, health.CauseOther, "x"},
			{func() { p.Check(nil) }, health.OK, 7 * time.Second, "", ""},
		} {
			wait()
			step.do()
			s := p.Status()
			if i == 0 {
				step.since = 0
			}
			if s.State != step.state || s.Since.Sub(start) != step.since || s.Cause != step.cause || s.Text() != step.text {
				t.Errorf("step %d: %+v since %s", i, s, s.Since.Sub(start))
			}
		}
	})
}

// Ready means that nothing has failed, and that all required parts have answered.
func TestReady(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(*health.Registry)
		ready   bool
		worst   health.State
	}{
		"nothing":             {func(*health.Registry) {}, true, health.OK},
		"all well":            {func(r *health.Registry) { r.Part("a", "") }, true, health.OK},
		"degraded":            {func(r *health.Registry) { r.Part("a", "").Fault(health.Fault{State: health.Degraded}) }, true, health.Degraded},
		"failed":              {func(r *health.Registry) { r.Part("a", "").Fault(health.Fault{}) }, false, health.Failed},
		"noted":               {func(r *health.Registry) { r.Part("a", "").Check(health.Note("x")) }, true, health.OK},
		"asked, well":         {func(r *health.Registry) { r.Func("a", "", func() error { return nil }) }, true, health.OK},
		"asked, failed":       {func(r *health.Registry) { r.Func("a", "", func() error { return errors.New("x") }) }, false, health.Failed},
		"not asked":           {func(r *health.Registry) { r.Probe("a", "", health.Probe{Ask: nil}) }, false, health.Unknown},
		"not asked, optional": {func(r *health.Registry) { r.Probe("a", "", health.Probe{Optional: true}) }, true, health.OK},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := health.New(zerolog.Nop())
			tc.prepare(r)
			if got := health.Ready(r.Parts()); got != tc.ready {
				t.Errorf("ready is %v", got)
			}
			if got := health.Worst(r.Parts()); got != tc.worst {
				t.Errorf("the worst is %s", got)
			}
		})
	}
}

// A fault with an expiry ends if it is not reported again.
func TestFaultsThatExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := health.New(zerolog.Nop())
		p, lasting := r.Part("a", ""), r.Part("b", "")
		p.Fault(health.Fault{Expires: time.Minute})
		lasting.Fault(health.Fault{})
		time.Sleep(50 * time.Second)
		p.Fault(health.Fault{Expires: time.Minute})
		time.Sleep(50 * time.Second)
		if s := p.Status().State; s != health.Failed {
			t.Errorf("a repeated fault: the part is %s", s)
		}
		time.Sleep(10 * time.Second)
		if s := p.Status().State; s != health.OK {
			t.Errorf("an expired fault: the part is %s", s)
		}
		if s := lasting.Status().State; s != health.Failed {
			t.Errorf("a fault without expiry: the part is %s", s)
		}
	})
}

// The log has the beginning and the end of a fault, and a lasting fault at intervals. A fault that
// comes and goes does not flood it.
func TestLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l logBuffer
		r := health.New(zerolog.New(&l))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = r.Run(ctx) }()
		p := r.Part("nats", "")
		p.OK()
		p.Fault(health.Fault{Reason: "away"})
		time.Sleep(25 * time.Minute)
		p.OK()
		for range 1000 {
			p.Fault(health.Fault{Reason: "flaps", State: health.Degraded})
			p.OK()
		}
		cancel()
		<-done
		want := []string{
			"error: part is failed away", "error: part is failed away", "error: part is failed away", "info: part works again",
			"warn: part is degraded flaps", "info: part works again",
		}
		if got := l.lines(); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("the log is\n%s", strings.Join(got, "\n"))
		}
	})
}

// A probe runs at intervals, and more often while it fails. While one run hangs there is no other.
func TestProbe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := health.New(zerolog.Nop())
		var (
			asked atomic.Int32
			fault atomic.Pointer[health.Fault]
			hangs atomic.Bool
		)
		release := make(chan struct{})
		r.Probe("queue", "", health.Probe{Ask: func(context.Context) error {
			asked.Add(1)
			if hangs.Load() {
				<-release // ignores its context
			}
			if f := fault.Load(); f != nil {
				return *f
			}
			return nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); _ = r.Run(ctx) }()

		state := func() health.Status { return r.Of("queue", "")[0] }
		time.Sleep(time.Minute + time.Second)
		if n := asked.Load(); n != 7 || state().State != health.OK {
			t.Errorf("asked %d times in a minute: %+v", n, state())
		}
		fault.Store(&health.Fault{Cause: health.CauseFull, Reason: "full"})
		time.Sleep(10 * time.Second)
		if s := state(); s.State != health.Failed || s.Cause != health.CauseFull {
			t.Errorf("%+v", s)
		}
		fault.Store(nil)
		time.Sleep(time.Second + time.Millisecond)
		if s := state(); s.State != health.OK {
			t.Errorf("a second after its end: %+v", s)
		}
		hangs.Store(true)
		before := asked.Load()
		time.Sleep(5 * time.Minute)
		if s := state(); asked.Load() != before+1 || s.State != health.Failed || s.Cause != health.CauseTimeout {
			t.Errorf("a probe that hangs was called %d times: %+v", asked.Load()-before, s)
		}
		hangs.Store(false)
		close(release)
		synctest.Wait()
		if s := state(); s.State != health.OK {
			t.Errorf("after it came back: %+v", s)
		}
		cancel()
		<-done
	})
}

func TestProbeThatPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := health.New(zerolog.Nop())
		r.Probe("a", "", health.Probe{Ask: func(context.Context) error { panic("a secret") }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		defer cancel()
		_ = r.Run(ctx)
		if s := r.Parts()[0]; s.State != health.Failed || s.Reason != "the check panicked" {
			t.Errorf("%+v", s)
		}
	})
}

func TestMetric(t *testing.T) {
	t.Parallel()
	r := health.New(zerolog.Nop())
	reg := prometheus.NewRegistry()
	reg.MustRegister(r)
	r.Part("nats", "")
	r.Part("sink", "siem").Fault(health.Fault{State: health.Degraded, Reason: "404"})
	const want = `
# HELP backburn_part_state 1 for the state that a part of this process is in, 0 for the others.
# TYPE backburn_part_state gauge
backburn_part_state{of="",part="nats",state="ok"} 1
backburn_part_state{of="",part="nats",state="unknown"} 0
backburn_part_state{of="",part="nats",state="degraded"} 0
backburn_part_state{of="",part="nats",state="failed"} 0
backburn_part_state{of="siem",part="sink",state="ok"} 0
backburn_part_state{of="siem",part="sink",state="unknown"} 0
backburn_part_state{of="siem",part="sink",state="degraded"} 1
backburn_part_state{of="siem",part="sink",state="failed"} 0
`
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, line := range strings.Split(strings.TrimSpace(want), "\n") {
		if !strings.Contains(w.Body.String(), line+"\n") {
			t.Errorf("no %s in\n%s", line, w.Body.String())
		}
	}
}

// The worst part is first. Of parts in the same state, the one with the longest duration is first.
func TestUnwell(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := health.New(zerolog.Nop())
		r.Part("a", "").Fault(health.Fault{State: health.Degraded})
		r.Part("b", "")
		time.Sleep(time.Second)
		r.Part("c", "").Fault(health.Fault{})
		time.Sleep(time.Second)
		r.Part("d", "x").Fault(health.Fault{})
		var names []string
		for _, s := range health.NotOK(r.Parts()) {
			names = append(names, s.Name())
		}
		if got := strings.Join(names, ","); got != "c,d x,a" {
			t.Errorf("the order is %s", got)
		}
	})
}

// A process is ready or not only once every required part was checked. Parts that are not required
// do not delay it, and a part that failed was checked.
func TestAwaitCheckedAndReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := health.New(zerolog.Nop())
		folder := r.RequiredPart("folder", "mail")
		store := r.RequiredPart("store", "")
		r.UnknownPart("wildfire", "")

		var checked, ready atomic.Bool
		go func() { checked.Store(r.Await(t.Context(), health.Checked) == nil) }()
		go func() { ready.Store(r.Await(t.Context(), health.Ready) == nil) }()
		for _, step := range []struct {
			name           string
			do             func()
			checked, ready bool
		}{
			{"nothing was checked", func() {}, false, false},
			{"one part was checked", func() { folder.OK() }, false, false},
			{"the other has failed", func() { store.Fault(health.Fault{Reason: "no space"}) }, true, false},
			{"it works again", func() { store.OK() }, true, true},
		} {
			step.do()
			synctest.Wait()
			if checked.Load() != step.checked || ready.Load() != step.ready {
				t.Errorf("%s: checked %v, ready %v; want %v and %v", step.name, checked.Load(), ready.Load(), step.checked, step.ready)
			}
		}

		r.RequiredPart("disk", "")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.Await(ctx, health.Checked); !errors.Is(err, context.Canceled) {
			t.Errorf("the context has ended: got %v", err)
		}
	})
}
