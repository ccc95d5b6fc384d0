package queue

import (
	"testing"
	"time"

	"backburn/results"
)

// Letters of expected outcomes are kept for a shorter time than letters that need a person, which
// have the age limit of the stream.
func TestDeadLettersAreKeptByReason(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		age, expectedAge time.Duration
		expected         string // time to live of a letter with an expected outcome
	}{
		"by default":              {0, 0, "168h0m0s"},
		"an age":                  {0, time.Hour, "1h0m0s"},
		"shorter for all":         {time.Minute, time.Hour, ""},
		"the same for all":        {time.Hour, time.Hour, ""},
		"longer, and the default": {60 * 24 * time.Hour, 0, "168h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc := connectTo(t, startServer(t, t.TempDir(), false).ClientURL())
			q, err := Open(t.Context(), nc, Topology{
				Prefix:   "backburn",
				Replicas: 1,
				Lease:    3 * time.Second,
				Results:  EventLimits{MaxAge: time.Hour},
				Dead:     DeadLimits{MaxAge: tc.age, ExpectedMaxAge: tc.expectedAge},
			})
			if err != nil {
				t.Fatal(err)
			}

			for _, r := range results.Reasons() {
				m := aJob("mail", string(r))
				if err := q.dead.Put(t.Context(), m, results.Error{Reason: r, Message: "no"}, 1, m.Job.ID); err != nil {
					t.Fatal(err)
				}
			}
			read := 0
			for l, err := range q.dead.All(t.Context(), DeadFilter{}) {
				if err != nil {
					t.Fatal(err)
				}
				kept, err := q.streams.dead.GetMsg(t.Context(), l.Seq)
				if err != nil {
					t.Fatal(err)
				}
				want := ""
				if l.Reason.Expected() {
					want = tc.expected
				}
				if ttl := kept.Header.Get(headerTTL); ttl != want {
					t.Errorf("a letter with reason %s has the time to live %q, want %q", l.Reason, ttl, want)
				}
				read++
			}
			if read != len(results.Reasons()) {
				t.Errorf("read %d letters", read)
			}
		})
	}
}
