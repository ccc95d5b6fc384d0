package watch_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"backburn/pipeline/watch"
)

// TestBacklog checks the memory used while very many files wait. BACKBURN_BACKLOG_FILES sets their
// number.
func TestBacklog(t *testing.T) {
	n := size(t, "BACKBURN_BACKLOG_FILES", 100_000)
	const limit = 64 << 20
	spec := crashSpec(t, func(c *watch.Config) { c.MaxInFlight, c.Settle = 1000, 0 })
	spec.Refuse, spec.Verdict = true, ""
	for i := range n {
		f, err := os.Create(fmt.Sprintf("%s/quarantined-sample-%07d.bin", spec.Config.Path, i))
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.WriteString("x")
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		settle time.Duration
		isFull func(childStatus) bool
	}{
		"the queue is full":   {0, func(st childStatus) bool { return st.Held != "" || st.InFlight >= 256 }},
		"no file has settled": {time.Hour, func(st childStatus) bool { return st.Scanned >= int64(n)-1000 }},
	} {
		t.Run(name, func(t *testing.T) {
			spec := spec
			spec.Config.Settle = c.settle
			spec.Config.StaleAfter = max(spec.Config.StaleAfter, c.settle)
			child := startChild(t, spec)
			var st childStatus
			began := time.Now()
			waitFor(t, "the folder to be full", func() bool {
				time.Sleep(100 * time.Millisecond)
				st = child.status(t)
				return c.isFull(st)
			})
			took := time.Since(began)
			// Several scans later, the state is still the same.
			for range 10 {
				time.Sleep(200 * time.Millisecond)
				st = child.status(t)
			}
			child.stop(t)
			t.Logf("%d files waiting: %.1f MiB at most, %d names in memory, %d claimed, %d seen by a scan, after %v",
				n, float64(st.RSS)/(1<<20), st.Pending, st.InFlight, st.Scanned, took.Round(time.Millisecond))
			if underRace {
				t.Log("THE LIMIT IS NOT CHECKED: the race detector multiplies memory use")
			} else if st.RSS > limit || st.RSS == 0 {
				t.Errorf("%d bytes of memory used, want at most %d", st.RSS, limit)
			}
		})
	}
}
