package queue

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"backburn/internal/testkit/schemas"
	"backburn/pipeline"
	"backburn/results"
	"backburn/results/schema"
)

// audits returns the existing audit events, and checks each against the schema.
func audits(t *testing.T, q *Queue) []results.Audit {
	t.Helper()
	s := schemas.Compile(t, schema.Event)

	var list []results.Audit
	sub := results.NewSubscriber(q.JetStream(), results.SubscriberConfig{})
	err := sub.DrainRaw(t.Context(), func(_ context.Context, d results.Delivery) error {
		if err := schemas.Validate(t, s, d.Body); err != nil {
			t.Errorf("%v\n%s", err, d.Body)
		}
		e, err := d.Event()
		if err == nil && e.Data.Audit != nil {
			list = append(list, *e.Data.Audit)
		}

		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	return list
}

// An action is recorded before it starts and when it is over; both events say who did what.
func TestAudited(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	who := results.Audit{By: "alice", Via: results.AuditDashboard, From: "192.0.2.7"}

	pause := who
	pause.Action = results.AuditPause
	pause.Until = time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	pause.Reason = "proxy"
	got, err := q.Events().Audited(t.Context(), pause, func(context.Context) (string, error) {
		if list := audits(t, q); len(list) != 1 || list[0].Status != results.AuditRequested || list[0].By != "alice" {
			t.Errorf("before the action the audit events are %+v", list)
		}
		return "paused", nil
	})
	if err != nil || got != "paused" {
		t.Errorf("%q, %v", got, err)
	}

	fault := errors.New("no room")
	recheck := who
	recheck.Action = results.AuditRecheck
	recheck.URL = "https://example.com/"
	ctx, cancel := context.WithCancel(t.Context())
	_, err = q.Events().Audited(ctx, recheck, func(context.Context) (string, error) {
		cancel() // the caller is gone; the outcome is recorded anyway
		return "", fault
	})
	if !errors.Is(err, fault) {
		t.Errorf("the error is not returned: %v", err)
	}

	list := audits(t, q)
	if len(list) != 4 {
		t.Fatalf("%d audit events, want 4: %+v", len(list), list)
	}
	pause.ID = list[0].ID
	recheck.ID = list[2].ID
	want := []results.Audit{pause, pause, recheck, recheck}
	for i, status := range []results.AuditStatus{results.AuditRequested, results.AuditDone, results.AuditRequested, results.AuditFailed} {
		want[i].Status = status
	}
	want[1].Result = "paused"
	want[3].Result = "no room"
	if d := cmp.Diff(want, list); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if pause.ID == recheck.ID || pause.ID == "" {
		t.Errorf("the ids are %q and %q", pause.ID, recheck.ID)
	}
}

// The outcome of an action is recorded even if its caller has gone.
func TestAuditedOutlivesItsCaller(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	for range 30 { // whether the message is sent before the cancellation is noticed differs
		ctx, cancel := context.WithCancel(t.Context())
		_, err := q.Events().Audited(ctx, results.Audit{Action: results.AuditResume, By: "alice", Via: results.AuditCommand}, func(context.Context) (string, error) {
			cancel()
			return "uploads go on", nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if list := audits(t, q); len(list) != 60 {
		t.Errorf("%d audit events, want 60", len(list))
	}
}

// An action that cannot be recorded is not carried out.
func TestUnrecordedIsNotDone(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	info, err := q.streams.results.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := info.Config
	c.MaxMsgSize = 16 // every event is larger
	if _, err := q.JetStream().UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	_, err = q.Events().Audited(ctx, results.Audit{Action: results.AuditResume, By: "alice", Via: results.AuditCommand}, func(context.Context) (string, error) {
		t.Error("the action was carried out")
		return "", nil
	})
	if !errors.Is(err, ErrUnrecorded) {
		t.Errorf("the error is %v", err)
	}
}

// If the last event cannot be written, the error says what was done.
func TestHalfRecorded(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	_, err := q.Events().Audited(t.Context(), results.Audit{Action: results.AuditResume, By: "alice", Via: results.AuditCommand}, func(context.Context) (string, error) {
		info, err := q.streams.results.Info(t.Context())
		if err != nil {
			return "", err
		}
		c := info.Config
		c.MaxMsgSize = 16
		_, err = q.JetStream().UpdateStream(t.Context(), c)
		return "uploads go on", err
	})
	if !errors.Is(err, ErrUnrecorded) || !strings.Contains(err.Error(), "it was done: uploads go on") {
		t.Errorf("the error is %v", err)
	}
}

// The trace of a job shows the actions of people on the job and its contents, each once.
func TestTraceOfActions(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	const sum = "0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f"
	const link = "https://example.com/login"
	now := time.Now().UTC()
	for id, d := range map[string]results.Data{
		"file":  {SHA256: sum, Size: 3, ReceivedAt: now},
		"other": {SHA256: strings.Repeat("1", 64), Size: 3, ReceivedAt: now},
		"link":  {URL: link},
	} {
		d.JobID = id
		d.Source = "mail"
		d.Error = &results.Error{Reason: results.Rejected, Message: "no"}
		if err := q.Events().Publish(t.Context(), results.Event{Type: results.Failed, Time: now, Data: d}); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []results.Audit{
		{Action: results.AuditRetry, Letter: 7, Job: "mail/file", SHA256: sum},
		{Action: results.AuditRecheck, SHA256: sum},
		{Action: results.AuditRecheck, URL: link},
		{Action: results.AuditPause},
	} {
		a.By = "alice"
		a.Via = results.AuditDashboard
		if _, err := q.Events().Audited(t.Context(), a, func(context.Context) (string, error) { return "well", nil }); err != nil {
			t.Fatal(err)
		}
	}

	const retried, rechecked = "retry of dead letter 7 by alice (dashboard): well", "recheck by alice (dashboard): well"
	for name, tc := range map[string]struct {
		query TraceQuery
		want  []string
	}{
		"a job":               {TraceQuery{Job: "file", Source: "mail"}, []string{retried, rechecked}},
		"contents":            {TraceQuery{SHA256: sum}, []string{retried, rechecked}},
		"a link":              {TraceQuery{URL: link}, []string{rechecked}},
		"the link's job":      {TraceQuery{Job: "link", Source: "mail"}, []string{rechecked}},
		"contents of another": {TraceQuery{SHA256: strings.Repeat("1", 64)}, nil},
	} {
		trace, err := q.Trace(t.Context(), tc.query)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, s := range trace.Timeline {
			if s.What == "audit" {
				got = append(got, s.Detail)
			}
		}
		if d := cmp.Diff(tc.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
		if trace.State != TraceFailed {
			t.Errorf("%s is %s", name, trace.State)
		}
	}
}

// An action on a dead letter records the letter's job. An action on a letter that does not exist is
// refused.
func TestAuditLetter(t *testing.T) {
	t.Parallel()
	q := openTest(t)
	var a results.Audit
	if err := q.Dead().AuditLetter(t.Context(), &a, 1); !errors.Is(err, ErrNoLetter) {
		t.Errorf("no error for a missing letter: %v", err)
	}
	m := &Message{Job: pipeline.Job{
		ID:       "j",
		Source:   "mail",
		Priority: pipeline.Normal,
		Version:  1,
		Kind:     pipeline.KindFile,
		Filename: "a.exe",
		SHA256:   strings.Repeat("0f", 32),
		Size:     3,
		Content:  &pipeline.Content{Path: "a.exe"},
	}}
	if err := q.dead.Put(t.Context(), m, results.Error{Reason: results.Rejected, Message: "no"}, 1, "j"); err != nil {
		t.Fatal(err)
	}
	if err := q.Dead().AuditLetter(t.Context(), &a, 1); err != nil {
		t.Fatal(err)
	}
	if a.Letter != 1 || a.Job != "mail/j" || a.SHA256 != m.Job.SHA256 {
		t.Errorf("the audit event is %+v", a)
	}
}
