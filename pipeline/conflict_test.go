package pipeline

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/time/rate"

	"backburn/results"
)

// moody is a bucket on a cluster: it refuses a write though nothing has changed, and a replica
// does not know yet what the leader does.
type moody struct {
	jetstream.KeyValue
	value   []byte
	rev     uint64
	refuses int // so many writes
	lags    int // so many reads
}

func (m *moody) Bucket() string { return "moody" }

func (m *moody) Get(context.Context, string) (jetstream.KeyValueEntry, error) {
	if m.lags--; m.lags >= 0 || m.value == nil {
		return nil, jetstream.ErrKeyNotFound
	}
	return m.entry(), nil
}

func (m *moody) entry() jetstream.KeyValueEntry { return moodyEntry{value: m.value, rev: m.rev} }

type moodyEntry struct {
	jetstream.KeyValueEntry
	value []byte
	rev   uint64
}

func (e moodyEntry) Value() []byte    { return e.value }
func (e moodyEntry) Revision() uint64 { return e.rev }

func (m *moody) Create(_ context.Context, _ string, v []byte, _ ...jetstream.KVCreateOpt) (uint64, error) {
	if m.refuses--; m.refuses >= 0 || m.value != nil {
		return 0, jetstream.ErrKeyExists
	}
	m.value, m.rev = v, m.rev+1
	return m.rev, nil
}

func (m *moody) Update(_ context.Context, _ string, v []byte, rev uint64) (uint64, error) {
	if m.refuses--; m.refuses >= 0 || rev != m.rev {
		return 0, jetstream.ErrKeyRevisionMismatch
	}
	m.value, m.rev = v, m.rev+1
	return m.rev, nil
}

// A refusal is not believed before it is known who else has written.
func TestARefusedWriteIsLookedInto(t *testing.T) {
	t.Parallel()
	w := &Worker{}
	for name, c := range map[string]struct {
		rev  uint64 // that the writer knows
		want sampleState
	}{
		"nothing has changed": {7, statePending}, "somebody took it over": {6, stateUploading},
	} {
		m := &moody{value: []byte(`{"state":"uploading","verdict":0}`), rev: 7, refuses: 2}
		w.q = &Queue{samples: m}
		if err := w.saveOurs(t.Context(), "key", sample{State: statePending}, c.rev); err != nil {
			t.Fatal(err)
		}
		var s sample
		if err := json.Unmarshal(m.value, &s); err != nil || s.State != c.want {
			t.Errorf("%s: the sample is %s, want %s (%v)", name, s.State, c.want, err)
		}
	}
}

// Of two that end a job the second finds out how the first did, however long that takes.
func TestARecordThatIsThereIsFound(t *testing.T) {
	t.Parallel()
	body, err := results.Event{Type: results.Verdict, Data: results.Data{JobID: "a", Source: "mail"}}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	r := record{Event: body}
	there, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		m    moody
		want results.Type
	}{
		"recorded, and the replica lags": {moody{value: there, rev: 1, lags: 3}, results.Verdict},
		"refused for nothing":            {moody{refuses: 3}, ""},
	} {
		q := &Queue{records: &c.m}
		if was, err := q.recordFirst(t.Context(), "a", r); err != nil || was.Type != c.want || c.m.value == nil {
			t.Errorf("%s: found %q, %v; want %q", name, was.Type, err, c.want)
		}
	}
}

// An upload that was not begun spends nothing, also where it had its part of the budget already.
func TestWhoStopsWaitingForTheRateGivesTheBudgetBack(t *testing.T) {
	t.Parallel()
	w := &Worker{
		now: time.Now, pauses: newPauses(nil), limiter: rate.NewLimiter(rate.Every(time.Hour), 1),
		uploads: &ledger{limit: 10, common: 2, day: dayOf(time.Now()), now: time.Now},
	}
	if err := w.pass(t.Context(), Normal); err != nil { // the only turn of the hour
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := w.pass(ctx, Normal); err == nil {
		t.Fatal("passed, though it was not its turn")
	}
	if w.uploads.common != 1 {
		t.Errorf("%d left, want 1", w.uploads.common)
	}
}

// Old failures and verdicts that count no more are no tries of a new upload.
func TestANewLifeHasAllItsTries(t *testing.T) {
	t.Parallel()
	for state, want := range map[sampleState]int{stateRetrying: 3, stateNone: 3, stateRefused: 0, stateVerdict: 0} {
		s := sample{State: state, Attempts: 3}
		if s.claim("w", "j", time.Now()); s.Attempts != want || s.State != stateUploading {
			t.Errorf("after %q it has used %d tries, want %d", state, s.Attempts, want)
		}
	}
}
