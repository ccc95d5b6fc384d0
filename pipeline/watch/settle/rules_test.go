package settle_test

import (
	"testing"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/settle"
)

// state returns the state of a file with the given size, whose mtime and ctime are a number of
// seconds.
func state(size, seconds int64) rootfs.State {
	return rootfs.State{
		Identity: rootfs.Identity{Ino: 1},
		Stamp:    rootfs.Stamp{Size: size, Mtime: seconds * 1e9, Ctime: seconds * 1e9},
		Regular:  true,
	}
}

func TestPatience(t *testing.T) {
	t.Parallel()
	rules := settle.Rules{
		Settle:     2 * time.Second,
		StaleAfter: 10 * time.Minute,
		Temporary:  settle.CompileGlobs([]string{".*", "*.tmp"}, true),
		Done:       settle.CompileDoneFile("{name}.done"),
	}
	remote := rules
	remote.Remote = true
	slow := remote
	slow.Settle = time.Hour

	for _, c := range []struct {
		name  string
		rules settle.Rules
		rel   string
		state rootfs.State
		blind bool
		want  time.Duration
		why   string
	}{
		{"ordinary", rules, "a.exe", state(1, 1), false, 2 * time.Second, settle.Changing},
		{"writers cannot be detected", rules, "a.exe", state(1, 1), true, 10 * time.Second, settle.Changing},
		{"remote", remote, "a.exe", state(1, 1), false, 10 * time.Second, settle.Changing},
		{"empty", rules, "a.exe", state(0, 1), false, 10 * time.Minute, settle.Empty},
		{"empty with a temporary name", rules, "a.tmp", state(0, 1), false, 10 * time.Minute, settle.Empty},
		{"temporary name", rules, "a.TMP", state(1, 1), false, 10 * time.Minute, settle.Temporary},
		{"in a folder with a temporary name", rules, ".x/a", state(1, 1), false, 10 * time.Minute, settle.Temporary},
		{"from 1970", rules, "a.exe", state(1, 0), false, 10 * time.Minute, settle.Temporary},
		{"done file", rules, "a.exe.done", state(1, 1), false, 10 * time.Minute, settle.Temporary},
		{"settle is longer than stale_after", slow, "a.tmp", state(1, 1), false, 5 * time.Hour, settle.Temporary},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, why := c.rules.SettleTime(c.rel, c.state, c.blind)
			if got != c.want || why != c.why {
				t.Errorf("%v because of %q, want %v because of %q", got, why, c.want, c.why)
			}
		})
	}
}

func TestEmptyFilesAreCheckedSooner(t *testing.T) {
	t.Parallel()
	rules := settle.Rules{Settle: 2 * time.Second}
	for _, c := range []struct {
		left time.Duration
		why  string
		want time.Duration
	}{
		{time.Hour, settle.Empty, 10 * time.Second},
		{time.Second, settle.Empty, time.Second},
		{time.Hour, settle.Temporary, time.Hour},
		{time.Second, settle.Changing, time.Second},
	} {
		if got := rules.RecheckDelay(c.left, c.why); got != c.want {
			t.Errorf("%v left, %s: examined again after %v, want %v", c.left, c.why, got, c.want)
		}
	}
	if got := (settle.Rules{}).RecheckDelay(time.Hour, settle.Empty); got != time.Second {
		t.Errorf("without a settle time: %v", got)
	}
}

// TestUnchanged examines a file several times. The watcher's clock starts at zero when the wall
// clock shows 1,000 seconds.
func TestUnchanged(t *testing.T) {
	t.Parallel()
	const second = time.Second
	type look struct {
		at    time.Duration
		state rootfs.State
		want  time.Duration
	}
	for name, c := range map[string]struct {
		remote bool
		looks  []look
	}{
		"an old file at first sight":      {false, []look{{5 * second, state(1, 900), 105 * second}}},
		"a new file":                      {false, []look{{5 * second, state(1, 1005), 0}, {8 * second, state(1, 1005), 3 * second}}},
		"it grows":                        {false, []look{{5 * second, state(1, 1005), 0}, {8 * second, state(2, 1007), second}}},
		"later, an older time":            {false, []look{{5 * second, state(1, 1005), 0}, {8 * second, state(1, 900), 3 * second}}},
		"from the future":                 {false, []look{{5 * second, state(1, 2000), 0}, {9 * second, state(1, 2000), 4 * second}}},
		"remote, old":                     {true, []look{{5 * second, state(1, 900), 45 * second}}},
		"remote, within the clocks' skew": {true, []look{{5 * second, state(1, 960), 0}}},
		"remote, changed meanwhile":       {true, []look{{5 * second, state(1, 900), 45 * second}, {8 * second, state(2, 900), 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var h settle.History
			for i, l := range c.looks {
				wall := int64(1000*second + l.at)
				if got := h.Unchanged(l.state, l.at, wall, c.remote); got != l.want {
					t.Errorf("look %d: unchanged for %v, want %v", i, got, l.want)
				}
			}
		})
	}
}

// TestPending tests every outcome for a name, and when it is due next.
func TestPending(t *testing.T) {
	t.Parallel()
	const quiet = 2 * time.Second
	for name, c := range map[string]struct {
		outcomes []settle.Outcome
		want     time.Duration // time from the last outcome to the next examination; negative: never
	}{
		"taken, gone or known":   {[]settle.Outcome{settle.Forget}, -1},
		"changed":                {[]settle.Outcome{settle.Changed}, 0},
		"a writer":               {[]settle.Outcome{settle.Writing}, quiet},
		"writers unknown":        {[]settle.Outcome{settle.Blind}, 0},
		"failed once":            {[]settle.Outcome{settle.Failed}, time.Second},
		"failed three times":     {[]settle.Outcome{settle.Failed, settle.Failed, settle.Failed}, 4 * time.Second},
		"failed, then a writer":  {[]settle.Outcome{settle.Failed, settle.Failed, settle.Writing}, quiet},
		"failed after a success": {[]settle.Outcome{settle.Failed, settle.Failed, settle.Changed, settle.Failed}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := settle.NewPending(quiet)
			now := time.Minute
			p.Report("a", true, now)
			for i, o := range c.outcomes {
				e, due, any := p.Next(now)
				if e == nil {
					t.Fatalf("outcome %d: nothing is due at %v, next at %v (%v)", i, now, due, any)
				}
				p.SetOutcome(e, o, now)
				if i < len(c.outcomes)-1 {
					now += settle.RetryMax
				}
			}
			e, due, any := p.Next(now)
			switch {
			case c.want < 0:
				if any || p.Len() != 0 {
					t.Errorf("%d names are left", p.Len())
				}
			case c.want == 0 && e == nil, c.want > 0 && (e != nil || due != now+c.want):
				t.Errorf("next look at %v, want %v after %v", due, c.want, now)
			}
		})
	}
}

func TestRetriesAreBounded(t *testing.T) {
	t.Parallel()
	p := settle.NewPending(0)
	p.Report("a", false, 0)
	now := time.Duration(0)
	for range 100 {
		e, _, _ := p.Next(now)
		p.SetOutcome(e, settle.Failed, now)
		_, due, _ := p.Next(now)
		if wait := due - now; wait <= 0 || wait > settle.RetryMax {
			t.Fatalf("examined again after %v", wait)
		}
		now = due
	}
}

// TestFailuresEnd lets a file fail, and then wait because it has changed. An event during that wait
// does not shorten it below settle, and the next failure counts as the first.
func TestFailuresEnd(t *testing.T) {
	t.Parallel()
	p := settle.NewPending(2 * time.Second)
	p.Report("a", true, 0)
	for range 3 {
		e, _, _ := p.Next(time.Hour)
		p.SetOutcome(e, settle.Failed, 0)
	}
	e, _, _ := p.Next(time.Hour)
	p.Wait(e, time.Minute)
	p.Report("a", true, time.Second)
	if _, due, _ := p.Next(time.Second); due != 3*time.Second {
		t.Errorf("after an event the next look is at %v", due)
	}
	e, _, _ = p.Next(time.Minute)
	p.SetOutcome(e, settle.Failed, time.Minute)
	if _, due, _ := p.Next(time.Minute); due != time.Minute+settle.RetryMin {
		t.Errorf("after the failure the next look is at %v", due)
	}
}

// TestEventDuringTake reports a name while its file is being taken: there may be a new file.
func TestEventDuringTake(t *testing.T) {
	t.Parallel()
	p := settle.NewPending(time.Second)
	p.Report("a", true, 0)
	e, _, _ := p.Next(0)
	p.SetOutcome(e, settle.Take, 0)
	if e = p.Dequeue(); e == nil || p.Ready() != 0 {
		t.Fatal("no entry is ready")
	}
	p.Report("a", true, time.Second)
	if _, _, any := p.Next(time.Hour); any {
		t.Error("it is due while it is being taken")
	}
	p.SetOutcomeByName("a", settle.Forget, 2*time.Second)
	if e, _, _ := p.Next(2 * time.Second); e == nil || e.Seen {
		t.Errorf("the new file is not due: %+v", e)
	}
	p.SetOutcomeByName("a", settle.Forget, 3*time.Second) // the name is no longer being taken
	if p.Len() != 1 {
		t.Error("an unexpected outcome had an effect")
	}
}

// TestEventsShortenLongWaits reports an event for a file that waits because it was empty.
func TestEventsShortenLongWaits(t *testing.T) {
	t.Parallel()
	p := settle.NewPending(2 * time.Second)
	p.Report("a", false, 0)
	e, _, _ := p.Next(0)
	p.Wait(e, time.Hour)
	p.Report("a", false, time.Minute)
	if _, due, _ := p.Next(time.Minute); due != time.Hour {
		t.Errorf("a scan moved the next look to %v", due)
	}
	p.Report("a", true, time.Minute)
	if _, due, _ := p.Next(time.Minute); due != time.Minute+2*time.Second {
		t.Errorf("after an event the next look is at %v", due)
	}
	p.Report("a", true, time.Minute+time.Second)
	if _, due, _ := p.Next(time.Minute); due != time.Minute+2*time.Second {
		t.Errorf("a second event moved the next look to %v", due)
	}
}
