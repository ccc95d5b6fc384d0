package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
	"backburn/wildfire"
)

// sampleState says what has happened to a sample; never what is about to.
type sampleState string

const (
	stateNone      sampleState = ""          // nothing yet, or given back after a failed try
	stateUploading sampleState = "uploading" // claimed: Owner may be sending it
	stateRetrying  sampleState = "retrying"  // a try ended in a fault; Job makes the next
	statePending   sampleState = "pending"   // WildFire has it, and no verdict yet
	stateVerdict   sampleState = "verdict"   // final
	stateRefused   sampleState = "refused"   // WildFire won't take these contents
)

// sample is what is known about one SHA-256, or one link: the value of its key in the
// samples bucket. Every change is a compare-and-set on the key's revision, so of many
// workers with the same contents one uploads.
type sample struct {
	State     sampleState `json:"state"`
	Owner     string      `json:"owner,omitempty"`     // worker that claimed it
	Job       string      `json:"job,omitempty"`       // job that claimed it, or makes the next try
	Unsure    bool        `json:"unsure,omitempty"`    // WildFire may have got it: ask before sending
	ChangedAt time.Time   `json:"changed_at,omitzero"` // of State

	Attempts    int  `json:"attempts,omitempty"`    // tries at the upload that ended in a fault
	Resubmitted bool `json:"resubmitted,omitempty"` // it was uploaded a second time, which is the last

	MD5         string    `json:"md5,omitempty"`
	Size        int64     `json:"size,omitempty"`
	Filetype    string    `json:"filetype,omitempty"`
	SubmittedAt time.Time `json:"submitted_at,omitzero"` // by us, or first seen as pending

	Verdict   int       `json:"verdict"` // where State is verdict
	DecidedAt time.Time `json:"decided_at,omitzero"`
	CheckedAt time.Time `json:"checked_at,omitzero"` // when WildFire last said so

	Refusal *refusal `json:"refusal,omitempty"` // where State is refused
}

// claim marks the sample as being uploaded. What ended before, and is too old to count, counts no
// tries any more either.
func (s *sample) claim(owner, job string, now time.Time) {
	if s.State == stateVerdict || s.State == stateRefused {
		*s = sample{}
	}
	s.State, s.Owner, s.Job, s.ChangedAt, s.Refusal = stateUploading, owner, job, now, nil
}

// release ends a claim after a try that did not succeed. It keeps the count of attempts.
func (s *sample) release(next sampleState, now time.Time) {
	s.State, s.Owner, s.ChangedAt = next, "", now
	if next != stateRetrying {
		s.Job = ""
	}
}

// submitted marks the sample as being with WildFire.
func (s *sample) submitted(now time.Time) {
	s.State, s.Owner, s.Unsure, s.SubmittedAt, s.ChangedAt = statePending, "", false, now, now
}

// decide gives the sample its verdict.
func (s *sample) decide(v wildfire.Verdict, md5 string, now time.Time) {
	s.State, s.Owner, s.Job, s.Unsure, s.ChangedAt = stateVerdict, "", "", false, now
	s.Verdict, s.DecidedAt, s.CheckedAt = int(v), now, now
	if md5 != "" {
		s.MD5 = md5
	}
}

// lost frees a sample that WildFire has no verdict on and never will have from this
// submission, so that it is uploaded again: once.
func (s *sample) lost(v wildfire.Verdict, now time.Time) {
	switch {
	case !s.Resubmitted:
		s.Resubmitted = true
		s.release(stateNone, now)
	case v != wildfire.Unknown:
		s.refuse("", results.Error{Reason: results.AnalysisError, Message: "WildFire could not analyse it, twice: " + v.String()}, now)
	}
}

// refuse remembers a terminal answer. ext restricts it to names with that extension; ""
// is for every name.
func (s *sample) refuse(ext string, cause results.Error, now time.Time) {
	s.release(stateRefused, now)
	s.Unsure, s.Refusal = false, &refusal{Error: cause, Ext: ext, At: now}
}

// refusal is a terminal answer to these contents under that kind of name. WildFire
// tells scripts by the extension, so the same bytes may be welcome under another.
type refusal struct {
	Error results.Error `json:"error"`
	Ext   string        `json:"ext,omitempty"` // "" for every name
	At    time.Time     `json:"at"`
}

// errConflict says that somebody else changed the key in between: read again.
var errConflict = errors.New("changed by somebody else")

// conflictWait is how long a replica gets to learn what its leader knows.
const conflictWait = 20 * time.Millisecond

// loadSample returns what is known, the zero sample where nothing is, and the revision
// that a change must name (0 for none).
func (q *Queue) loadSample(ctx context.Context, key string) (sample, uint64, error) {
	return readable[sample](ctx, q, q.samples, key)
}

// saveSample writes the sample if the key is still at the revision.
func (q *Queue) saveSample(ctx context.Context, key string, s sample, rev uint64) (uint64, error) {
	return q.save(ctx, q.samples, key, s, rev)
}

// changeSample applies change to the newest value until the write succeeds. change
// returns false to leave the sample as it is.
func (q *Queue) changeSample(ctx context.Context, key string, change func(*sample) bool) (sample, error) {
	for {
		s, rev, err := q.loadSample(ctx, key)
		if err != nil {
			return s, err
		}
		if !change(&s) {
			return s, nil
		}
		if _, err = q.saveSample(ctx, key, s, rev); !errors.Is(err, errConflict) {
			return s, err
		}
	}
}

// load reads a JSON value. A key that isn't there leaves v alone and has revision 0. A
// server that does not answer is asked again until ctx ends.
func (q *Queue) load(ctx context.Context, kv jetstream.KeyValue, key string, v any) (uint64, error) {
	for attempt := 0; ; attempt++ {
		actx, cancel := context.WithTimeout(ctx, publishAttempt)
		entry, err := kv.Get(actx, key)
		cancel()
		switch {
		case err == nil:
			if err := json.Unmarshal(entry.Value(), v); err != nil {
				return entry.Revision(), fmt.Errorf("%s: key %s: %w", kv.Bucket(), key, err)
			}
			return entry.Revision(), nil
		case errors.Is(err, jetstream.ErrKeyNotFound):
			return 0, nil
		case errors.Is(err, jetstream.ErrInvalidKey), errors.Is(err, nats.ErrConnectionClosed):
			return 0, fmt.Errorf("%s: key %s: %w", kv.Bucket(), key, err)
		}
		if serr := sleep(ctx, backOff(attempt, 50*time.Millisecond, 2*time.Second)); serr != nil {
			return 0, fmt.Errorf("%s: key %s: %w (%w)", kv.Bucket(), key, serr, err)
		}
	}
}

// readable is load for what must not keep the fleet from its work: a value that can't be read
// counts as none, and is written over.
func readable[T any](ctx context.Context, q *Queue, kv jetstream.KeyValue, key string) (T, uint64, error) {
	var v, none T
	rev, err := q.load(ctx, kv, key, &v)
	if err != nil && rev != 0 {
		return none, rev, nil
	}
	return v, rev, err
}

// control reads a key of the control bucket.
func control[T any](ctx context.Context, q *Queue, key string) (T, uint64, error) {
	return readable[T](ctx, q, q.control, key)
}

// save writes a JSON value by compare-and-set; revision 0 creates the key. Whoever lost
// the race gets errConflict. So does a writer whose first try succeeded unheard: callers
// read again, and find their own value.
func (q *Queue) save(ctx context.Context, kv jetstream.KeyValue, key string, v any, rev uint64) (uint64, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("%s: key %s: %w", kv.Bucket(), key, err)
	}
	for attempt := 0; ; attempt++ {
		actx, cancel := context.WithTimeout(ctx, publishAttempt)
		var now uint64
		if rev == 0 {
			now, err = kv.Create(actx, key, b)
		} else {
			now, err = kv.Update(actx, key, b, rev)
		}
		cancel()
		switch {
		case err == nil:
			return now, nil
		case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch):
			return 0, errConflict
		case errors.Is(err, jetstream.ErrInvalidKey), errors.Is(err, nats.ErrConnectionClosed):
			return 0, fmt.Errorf("%s: key %s: %w", kv.Bucket(), key, err)
		}
		if serr := sleep(ctx, backOff(attempt, 50*time.Millisecond, 2*time.Second)); serr != nil {
			return 0, fmt.Errorf("%s: key %s: %w (%w)", kv.Bucket(), key, serr, err)
		}
	}
}
