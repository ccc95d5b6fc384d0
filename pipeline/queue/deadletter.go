package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline"
	"backburn/results"
)

// Letter is a dead letter: a job that failed, with the reason.
type Letter struct {
	Seq      uint64         `json:"seq"`  // its number in DEAD
	Time     time.Time      `json:"time"` // when it was put there
	Reason   results.Reason `json:"reason"`
	Error    string         `json:"error"`
	Attempts int            `json:"attempts"` // upload attempts
	Subject  string         `json:"subject"`  // for the job's present priority, or that of an invalid message; "" if only headers were read
	Raw      bool           `json:"raw"`      // the body is the contents
	Job      pipeline.Job   `json:"-"`        // has only the fields that are in headers if only these were read

	Header  nats.Header `json:"-"` // of the letter
	Body    []byte      `json:"-"` // the contents, if they came in the message
	Message *Message    `json:"-"` // the whole job; nil if only headers were read, or if unreadable
}

// MarshalJSON encodes the letter and its job as one object.
func (l Letter) MarshalJSON() ([]byte, error) {
	type plain Letter
	return json.Marshal(struct {
		plain
		ID       string            `json:"job_id"`
		Source   string            `json:"source"`
		Priority pipeline.Priority `json:"priority,omitempty"`
		Job      *pipeline.Job     `json:"job,omitempty"`
	}{plain(l), l.Job.ID, l.Job.Source, l.Job.Priority, &l.Job})
}

// DeadFilter selects dead letters. The zero value selects all.
type DeadFilter struct {
	Reason results.Reason
	Source string
	Since  time.Time
}

// ErrNoLetter says that a dead letter does not exist, or no longer exists.
var ErrNoLetter = errors.New("no such dead letter")

// DeadLetters reads, writes and removes dead letters, and submits their jobs again. It is safe for
// concurrent use.
type DeadLetters struct {
	streams        *Streams
	commits        *committer
	jobs           *Jobs
	ledger         *Ledger
	objects        *Objects
	onPut          func(results.Reason) // nil for none
	bytesSinceTrim atomic.Int64         // written by this process since recordWritten last called Trim
	trimming       sync.Mutex
}

// All reads the dead letters that match a filter, the oldest first, without their bodies, because a
// body may be as large as a file. A letter's job has only the fields that are in headers; Get
// returns all of them. All leaves out letters that arrive while it reads.
func (d *DeadLetters) All(ctx context.Context, f DeadFilter) iter.Seq2[Letter, error] {
	cfg := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{d.streams.DeadSubject(cmp.Or(string(f.Reason), "*"), cmp.Or(f.Source, "*"))},
		HeadersOnly:    true,
	}
	if !f.Since.IsZero() {
		cfg.DeliverPolicy = jetstream.DeliverByStartTimePolicy
		cfg.OptStartTime = &f.Since
	}

	return decodeAll(readAll(ctx, d.streams.dead, cfg, readBatch), listed)
}

// Get reads one letter with its body. It returns ErrNoLetter if it does not exist.
func (d *DeadLetters) Get(ctx context.Context, seq uint64) (Letter, error) {
	m, err := d.streams.dead.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return Letter{}, fmt.Errorf("%w: %d", ErrNoLetter, seq)
	}
	if err != nil {
		return Letter{}, fmt.Errorf("read dead letter %d: %w", seq, err)
	}

	return d.whole(m), nil
}

// listed returns the letter of a message of DEAD without what is only in its body.
func listed(m *jetstream.RawStreamMsg) Letter {
	h := m.Header
	l := Letter{
		Seq:    m.Sequence,
		Time:   m.Time.UTC(),
		Reason: results.Reason(h.Get(HeaderReason)),
		Error:  h.Get(HeaderError),
		Header: h,
	}
	l.Attempts, _ = strconv.Atoi(h.Get(HeaderAttempts))

	l.Job.Priority = pipeline.Priority(h.Get(headerPriority))
	l.Job.Filename = h.Get(HeaderFilename)
	l.Job.SHA256 = h.Get(headerSHA256)
	l.Job.URL = h.Get(headerURL)
	l.Job.Size, _ = strconv.ParseInt(h.Get(headerSize), 10, 64)
	l.Job.ReceivedAt, _ = time.Parse(time.RFC3339Nano, h.Get(HeaderReceived))
	if ref, ok := pipeline.ParseRef(h.Get(headerJob)); ok {
		l.Job.Source = ref.Source
		l.Job.ID = ref.ID
	} else {
		l.Job.Source = lastToken(m.Subject)
	}

	return l
}

// whole returns the letter of a message of DEAD.
func (d *DeadLetters) whole(raw *jetstream.RawStreamMsg) Letter {
	l := listed(raw)
	m, err := decodeMessage(raw)
	if old := raw.Header.Get(headerOldSubject); err != nil && old != "" {
		m, err = openOld(d.streams.Names, old, raw)
	}
	if err != nil {
		l.Body = raw.Data
		return l
	}

	l.Message = &m
	l.Job = m.Job
	l.Raw = m.Raw
	l.Body = m.Contents
	if m.Original != nil {
		l.Subject = m.Original.Subject
		l.Raw = !isJSON(m.Original.Header)
	} else {
		l.Subject = d.streams.JobSubject(m.Job.Priority, m.Job.Source)
	}

	return l
}

// Drop removes a letter for good, with its contents in the object bucket. It returns ErrNoLetter if
// it does not exist.
func (d *DeadLetters) Drop(ctx context.Context, seq uint64) error {
	l, err := d.Get(ctx, seq)
	if err != nil {
		return err
	}
	if err := d.remove(ctx, seq); err != nil {
		return err
	}
	if c := l.Job.Content; c != nil && c.Object != "" {
		return d.objects.Delete(ctx, c.Object)
	}
	return nil
}

// ReplayOptions has the options for replaying dead letters.
type ReplayOptions struct {
	// Roots maps sources to folders, as pipeline.Config.Roots does, if this machine has them.
	// Contents that jobs of other sources give by a path cannot be checked from here.
	Roots map[string]string

	// Find looks for contents that are no longer where the letter says, such as a file that the
	// watcher has moved away. It returns false if it finds none. A nil Find finds nothing.
	Find func(Letter) (open func() (io.ReadCloser, error), size int64, ok bool)

	// DryRun changes nothing and returns what would be done.
	DryRun bool
}

// ErrContentsGone says that a letter cannot be replayed, because its contents no longer exist.
var ErrContentsGone = errors.New("its contents no longer exist")

// Replayed is the outcome of one replay.
type Replayed struct {
	Job   string `json:"job_id"`          // the ID under which the job runs now
	Found bool   `json:"found,omitempty"` // its contents had been moved away, and were found
}

// Replay submits the job of a letter again. It first removes a recorded refusal of the contents, so
// that WildFire is asked again, and finally removes the letter. Replay may be repeated after an
// interruption at any point, because the new job's ID is derived from the old one (see NextID); the
// old ID already has its final event. After an error, which may match ErrNoLetter, ErrContentsGone
// or pipeline.ErrFull, an existing letter stays.
func (d *DeadLetters) Replay(ctx context.Context, seq uint64, r ReplayOptions) (Replayed, error) {
	l, err := d.Get(ctx, seq)
	if err != nil {
		return Replayed{}, err
	}
	done := Replayed{Job: NextID(l.Job.ID)}
	if l.Message == nil || l.Message.Original != nil {
		return done, fmt.Errorf("dead letter %d: not a valid job (%s): submit its contents again", seq, l.Error)
	}

	m := *l.Message
	m.Job.ID = done.Job
	m.Basis = ""
	if err := d.checkContents(ctx, l, r); errors.Is(err, ErrContentsGone) && r.Find != nil {
		open, size, ok := r.Find(l)
		if !ok {
			return done, err
		}
		if done.Found = true; !r.DryRun {
			if err := d.storeFound(ctx, &m, size, open); err != nil {
				return done, err
			}
		}
	} else if err != nil {
		return done, err
	}
	if r.DryRun {
		return done, nil
	}

	if key := pipeline.SampleKey(l.Job); key != "" { // without a key there is no recorded refusal
		_, err := d.ledger.ChangeSample(ctx, key, func(s *pipeline.Sample) bool { return s.ClearRefusal(time.Now().UTC()) })
		if err != nil {
			return done, err
		}
	}
	if err := d.jobs.Requeue(ctx, &m); err != nil {
		return done, fmt.Errorf("replay dead letter %d: %w", seq, err)
	}

	return done, d.remove(ctx, seq)
}

// NextID returns the ID for a replay of a job: <id>~1, then <id>~2, and so on.
func NextID(id string) string {
	base, n := id, 0
	if at := strings.LastIndexByte(id, '~'); at > 0 {
		if k, err := strconv.Atoi(id[at+1:]); err == nil && k > 0 && strconv.Itoa(k) == id[at+1:] {
			base, n = id[:at], k
		}
	}

	return base + "~" + strconv.Itoa(n+1)
}

// FirstID returns the ID under which a job was submitted before any replay.
func FirstID(id string) string {
	next := NextID(id)

	return next[:strings.LastIndexByte(next, '~')]
}

// checkContents returns ErrContentsGone if the contents of a letter are not where the letter says.
func (d *DeadLetters) checkContents(ctx context.Context, l Letter, r ReplayOptions) error {
	c := l.Job.Content
	switch {
	case l.Raw || l.Job.Kind == pipeline.KindURL || c == nil:
		return nil
	case c.Object != "":
		_, err := d.objects.Find(ctx, c.Object)
		if errors.Is(err, pipeline.ErrContentMissing) {
			return fmt.Errorf("dead letter %d: %w: object %q", l.Seq, ErrContentsGone, c.Object)
		}
		return err
	}

	root, here := r.Roots[l.Job.Source]
	if !here || pipeline.CheckRelative(c.Name()) != nil {
		return nil // a worker finds out
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil // a worker may have permission to read it
	}
	defer dir.Close()
	if _, err := dir.Lstat(filepath.FromSlash(c.Name())); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("dead letter %d: %w: %q below %s", l.Seq, ErrContentsGone, c.Name(), root)
	}

	return nil
}

// storeFound stores the contents that Find returned in an object, and points the job to it.
func (d *DeadLetters) storeFound(ctx context.Context, m *Message, size int64, open func() (io.ReadCloser, error)) error {
	name := objectName(m.Job.Ref())
	if err := d.objects.Put(ctx, name, size, open); err != nil {
		return fmt.Errorf("replay job %s: %w", m.Job.Ref(), err)
	}
	m.Job.Content = &pipeline.Content{Object: name}
	m.AcceptedAt = time.Now().UTC() // when the object was stored

	return nil
}

func (d *DeadLetters) remove(ctx context.Context, seq uint64) error {
	return jets.Delete(ctx, d.streams.js, d.streams.DeadStream(), seq)
}
