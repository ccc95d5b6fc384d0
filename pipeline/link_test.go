package pipeline_test

import (
	"testing"
	"time"

	"backburn/pipeline"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// A link gets no verdict: it fails at its deadline, is first submitted if WildFire had no record of
// it, and does not delay other jobs.
func TestLinkWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		fault   wildfiretest.Fault
		submits int
	}{
		"no verdict":     {wildfiretest.Fault{Style: wildfiretest.MissingVerdict}, 0},
		"421":            {wildfiretest.Fault{Status: 421}, 1},
		"420":            {wildfiretest.Fault{Status: 420}, 1},
		"404":            {wildfiretest.Fault{Status: 404}, 1},
		"error with 200": {wildfiretest.Fault{Style: wildfiretest.Error200}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.cfg.Deadline = time.Second
			f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpVerdict, Fault: tt.fault})
			f.startWorker()
			if err := submit(t.Context(), f.q, pipeline.Job{
				ID: "a", Source: "proxy", Priority: pipeline.Normal, Version: 1, Kind: pipeline.KindURL, URL: "https://example.com/",
			}); err != nil {
				t.Fatal(err)
			}
			f.submitRaw("b", "mail", "malware.exe", "contents")
			all := f.waitEvents(2)
			if ev := all.onlyOf(t, "a"); ev.Data.Error == nil || ev.Data.Error.Reason != results.VerdictTimeout {
				t.Errorf("the link ended %s", ev.Outcome())
			}
			if ev := all.onlyOf(t, "b"); ev.Data.Verdict != "malware" {
				t.Errorf("the file ended %s", ev.Outcome())
			}
			if n := f.wildfire.Count(wildfire.OpSubmitLink); n != tt.submits {
				t.Errorf("the link was submitted %d times, want %d", n, tt.submits)
			}
		})
	}
}
