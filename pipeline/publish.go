package pipeline

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"backburn/results"
)

// Headers of a job's message, and of what is made of it on its way.
const (
	HeaderFilename = "Backburn-Filename" // required on raw jobs
	HeaderPath     = "Backburn-Path"     // optional on raw jobs: where the file was found
	HeaderMeta     = "Backburn-Meta-"    // prefix of a raw job's metadata
	HeaderReceived = "Backburn-Received" // optional on raw jobs: when the file came in (RFC 3339)
	HeaderJob      = "Backburn-Job"      // the job's id, where Nats-Msg-Id is another
	HeaderSubject  = "Backburn-Subject"  // the subject under which the job was handed in
	HeaderReason   = "Backburn-Reason"   // dead letters: why
	HeaderError    = "Backburn-Error"    // dead letters: what was said
	HeaderAttempts = "Backburn-Attempts" // dead letters: tries at the upload

	headerBasis = "Backburn-Basis" // waiting jobs: upload, shared or lookup
)

// ErrFull is returned by publishers when a stream has no room: nothing was accepted, and
// the same message may be tried later.
var ErrFull = errors.New("the queue is full")

// publishAttempt bounds one try at a durable write; the message, which carries its id,
// is sent again until it is acknowledged.
const publishAttempt = 5 * time.Second

// The server's codes for a stream at its limits, and for an ingest queue that overflows.
const (
	errCodeStreamFull   jetstream.ErrorCode = 10077
	errCodeTooManyAsync jetstream.ErrorCode = 10167
)

// publish sends a message until it is acknowledged or ctx ends. The message must be
// harmless to repeat. A full stream is ErrFull, at once.
func (q *Queue) publish(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	for attempt := 0; ; attempt++ {
		actx, cancel := context.WithTimeout(ctx, publishAttempt)
		ack, err := q.js.PublishMsg(actx, m, opts...)
		cancel()
		if err == nil {
			return ack, nil
		}
		if err := permanent(err); err != nil {
			return nil, fmt.Errorf("publish to %s: %w", m.Subject, err)
		}
		if serr := sleep(ctx, backOff(attempt, 50*time.Millisecond, 2*time.Second)); serr != nil {
			return nil, fmt.Errorf("publish to %s: %w (%w)", m.Subject, serr, err)
		}
	}
}

// permanent returns the error that another try won't cure, or nil.
func permanent(err error) error {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && (api.ErrorCode == errCodeStreamFull || api.ErrorCode == errCodeTooManyAsync):
		return fmt.Errorf("%w: %s", ErrFull, api.Description)
	case errors.As(err, &api) && api.Code != 503:
		return err
	case errors.Is(err, nats.ErrMaxPayload), errors.Is(err, nats.ErrConnectionClosed), errors.Is(err, nats.ErrBadSubject):
		return err
	}
	return nil
}

// backOff grows from low, doubling, to high, with full jitter above half.
func backOff(attempt int, low, high time.Duration) time.Duration {
	d := high
	if attempt < 30 && low<<attempt < high {
		d = low << attempt
	}
	return d/2 + rand.N(d/2+1)
}

// Publisher hands in jobs. It needs the right to publish on its own job subjects alone,
// and is safe for concurrent use. Where the context of a call holds a span, the job carries it as
// traceparent (W3C Trace Context), and what workers do about it continues that trace.
type Publisher struct {
	q       *Queue
	tracing tracing
}

// Publisher returns the queue's intake.
func (q *Queue) Publisher() *Publisher { return &Publisher{q: q} }

// Traced returns a publisher whose jobs carry a span of its own, which t makes; nil makes none.
func (p *Publisher) Traced(t trace.TracerProvider) *Publisher {
	return &Publisher{p.q, newTracing(t)}
}

// Publish hands in a job by reference and returns once it is durable. A repeat with the
// same id is harmless. It returns ErrFull when the queue has no room.
func (p *Publisher) Publish(ctx context.Context, j Job) error {
	if j.ID == "" || !ValidSource(j.Source) || !j.Priority.Valid() {
		return fmt.Errorf("publish job: id %q, source %q and priority %q are required", j.ID, j.Source, j.Priority)
	}
	_, err := p.publishJob(ctx, j)
	return err
}

func (p *Publisher) publishJob(ctx context.Context, j Job) (*jetstream.PubAck, error) {
	body, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("publish job %s: %w", j.ID, err)
	}
	m := nats.NewMsg(p.q.JobSubject(j.Priority, j.Source))
	m.Header.Set("Content-Type", "application/json")
	m.Header.Set(nats.MsgIdHdr, j.ID)
	m.Data = body
	return p.send(ctx, j, m)
}

// send publishes a job's message, with the trace to which it belongs.
func (p *Publisher) send(ctx context.Context, j Job, m *nats.Msg) (*jetstream.PubAck, error) {
	ctx, span := p.tracing.publish(ctx, j)
	inject(ctx, m.Header)
	ack, err := p.q.publish(ctx, m)
	if span != nil {
		end(span, err != nil)
	}
	return ack, err
}

// rawHeadroom is what a raw job's message needs beside the contents: names, metadata and
// headers, also those that are added on its way to WAITING and DEAD, in bytes.
const rawHeadroom = 32 << 10

// PublishFile hands in a file's contents and returns once both they and the job are
// durable: in the job's message where the server's max_payload allows, else as an object.
// It fills in j's kind, version, size and content; ID, Source, Priority and Filename are
// the caller's, the rest is optional. size is in bytes, and exact; open is called once. A
// repeat with the same id is harmless, though not at the same time. It returns ErrFull when the queue has no room: nothing was accepted.
func (p *Publisher) PublishFile(ctx context.Context, j Job, size int64, open func() (io.ReadCloser, error)) error {
	_, err := p.publishFile(ctx, j, size, open)
	return err
}

// publishFile is PublishFile, and returns the acknowledgement.
func (p *Publisher) publishFile(ctx context.Context, j Job, size int64, open func() (io.ReadCloser, error)) (*jetstream.PubAck, error) {
	j.Version, j.Kind, j.Size, j.Content = 1, KindFile, size, nil
	if err := addressed(j); err != nil {
		return nil, fmt.Errorf("publish file: %w", err)
	}
	if h, ok := rawHeader(j); ok && size <= p.q.nc.MaxPayload()-rawHeadroom {
		return p.publishRaw(ctx, j, h, open)
	}
	return p.publishObject(ctx, j, open)
}

// addressed returns an error where a file's job lacks what its publisher has to say.
func addressed(j Job) error {
	if j.ID == "" || j.Filename == "" || !ValidSource(j.Source) || !j.Priority.Valid() {
		return fmt.Errorf("id %q, file name %q, source %q and priority %q are required", j.ID, j.Filename, j.Source, j.Priority)
	}
	return nil
}

// rawHeader is the header of a raw job; not ok where it would not arrive as it is, since
// values lose what surrounds them, and names of metadata their case.
func rawHeader(j Job) (nats.Header, bool) {
	h := nats.Header{"Content-Type": {"application/octet-stream"}, nats.MsgIdHdr: {j.ID}}
	ok := true
	set := func(key, text string, b64 []byte) {
		if b64 != nil {
			text = string(b64)
		}
		ok = ok && text == strings.TrimSpace(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
		if text != "" {
			h[key] = []string{text}
		}
	}
	set(HeaderFilename, j.Filename, j.FilenameB64)
	set(HeaderPath, j.Path, j.PathB64)
	if !j.ReceivedAt.IsZero() {
		h[HeaderReceived] = []string{j.ReceivedAt.UTC().Format(time.RFC3339Nano)}
	}
	for k, v := range j.Metadata {
		ok = ok && v != "" && plainKey.MatchString(k)
		set(HeaderMeta+k, v, nil)
	}
	return h, ok
}

// plainKey matches names of metadata that survive as part of a header's name.
var plainKey = regexp.MustCompile(`^[a-z0-9._-]+$`)

func (p *Publisher) publishRaw(ctx context.Context, j Job, h nats.Header, open func() (io.ReadCloser, error)) (*jetstream.PubAck, error) {
	r, err := open()
	if err != nil {
		return nil, fmt.Errorf("publish file %s: %w", j.ID, err)
	}
	defer r.Close()
	body := make([]byte, j.Size+1) // one byte more than there may be
	n, err := io.ReadFull(r, body)
	switch {
	case err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("publish file %s: %w", j.ID, err)
	case int64(n) != j.Size:
		return nil, fmt.Errorf("publish file %s: %w: not the %d bytes that were promised", j.ID, errContentChanged, j.Size)
	}
	body = body[:n]
	if sum := sha256.Sum256(body); j.SHA256 != "" && j.SHA256 != hex.EncodeToString(sum[:]) {
		return nil, fmt.Errorf("publish file %s: %w: the SHA-256 is another", j.ID, errContentChanged)
	}
	return p.send(ctx, j, &nats.Msg{Subject: p.q.JobSubject(j.Priority, j.Source), Header: h, Data: body})
}

// publishObject stores the contents, hashed on the way, and then hands in the job. Contents
// that are there already are left alone: a worker may be reading them. The object of a job
// that was not accepted is removed, and so is that of one that was over; one whose fate
// is not known stays, and is dropped by the bucket's age if nobody comes for it.
func (p *Publisher) publishObject(ctx context.Context, j Job, open func() (io.ReadCloser, error)) (*jetstream.PubAck, error) {
	name := "job." + jobKey(j.ID)
	sum, stored, err := p.store(ctx, name, j.Size, open)
	if err == nil && j.SHA256 != "" && j.SHA256 != sum {
		err = fmt.Errorf("%w: the SHA-256 is another", errContentChanged)
		if stored {
			_ = p.q.Objects().Delete(context.WithoutCancel(ctx), name)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("publish file %s: %w", j.ID, err)
	}
	j.SHA256 = sum
	return p.publishStored(ctx, j, name, stored)
}

// errChangedSince says that an id stands for other contents.
var errChangedSince = fmt.Errorf("%w since they were handed in under this id", errContentChanged)

// publishStored hands in a job whose contents are in an object; fresh says that they were not
// there before.
func (p *Publisher) publishStored(ctx context.Context, j Job, object string, fresh bool) (*jetstream.PubAck, error) {
	j.Content = &Content{Object: object}
	if j.ReceivedAt.IsZero() {
		j.ReceivedAt = time.Now().UTC()
	}
	ack, err := p.publishJob(ctx, j)
	if fresh && (err == nil && ack.Duplicate || refused(err)) {
		_ = p.q.Objects().Delete(context.WithoutCancel(ctx), object)
	}
	return ack, err
}

// store makes sure that an object holds the contents, and returns their SHA-256. stored says
// that it was not there before.
func (p *Publisher) store(ctx context.Context, name string, size int64, open func() (io.ReadCloser, error)) (sum string, stored bool, err error) {
	info, err := p.q.files.GetInfo(ctx, name)
	if err == nil {
		sum, n, err := contents{size, open}.digest(ctx)
		switch {
		case err != nil:
			return "", false, err
		case n != size || !holds(info, sum):
			return "", false, errChangedSince
		}
		return sum, false, nil
	}
	if !errors.Is(err, jetstream.ErrObjectNotFound) {
		return "", false, fmt.Errorf("object %q: %w", name, err)
	}
	h := sha256.New()
	err = p.q.Objects().Put(ctx, name, size, func() (io.ReadCloser, error) {
		r, err := open()
		h.Reset()
		return hashedReader{r, h}, err
	})
	return hex.EncodeToString(h.Sum(nil)), err == nil, err
}

// refused reports whether a failed publish certainly had no effect.
func refused(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, ErrFull) || errors.Is(err, nats.ErrMaxPayload) || errors.As(err, &api) && api.Code != 503
}

// hashedReader hashes what is read.
type hashedReader struct {
	io.ReadCloser
	h hash.Hash
}

func (r hashedReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.h.Write(b[:n]) // never fails (hash.Hash)
	return n, err
}

// ErrPending says that a job was accepted, and had no final event yet when the time was up.
var ErrPending = errors.New("accepted, and without a final event yet")

// PublishAndWait is PublishFile for a caller that has to know: it returns the job's final
// event. ctx bounds both; once the job is accepted its end is ErrPending, and the event
// comes on RESULTS when it comes. A repeat of a job that is over returns its event at once.
// It needs the right to read the bucket of jobs besides.
func (p *Publisher) PublishAndWait(ctx context.Context, j Job, size int64, open func() (io.ReadCloser, error)) (results.Event, error) {
	if err := p.PublishFile(ctx, j, size, open); err != nil {
		return results.Event{}, err
	}
	for attempt := 0; ; attempt++ {
		ev, err := p.q.final(ctx, jobKey(j.ID))
		if err == nil {
			return ev, nil
		}
		if serr := sleep(ctx, backOff(attempt, 100*time.Millisecond, 2*time.Second)); serr != nil {
			return results.Event{}, fmt.Errorf("job %s: %w (%w)", j.ID, ErrPending, err)
		}
	}
}

// final waits until a job's final event is recorded.
func (q *Queue) final(ctx context.Context, key string) (results.Event, error) {
	w, err := q.records.Watch(ctx, key)
	if err != nil {
		return results.Event{}, fmt.Errorf("watch job: %w", err)
	}
	defer func() { _ = w.Stop() }()
	for {
		select {
		case <-ctx.Done():
			return results.Event{}, ctx.Err()
		case e, ok := <-w.Updates():
			if !ok {
				return results.Event{}, errors.New("the watch on the job ended")
			}
			if e == nil || e.Operation() != jetstream.KeyValuePut {
				continue
			}
			var (
				r  record
				ev results.Event
			)
			if err := json.Unmarshal(e.Value(), &r); err != nil {
				return ev, fmt.Errorf("record of the job: %w", err)
			}
			return ev, ev.UnmarshalJSON(r.Event)
		}
	}
}

// ResultPublisher publishes events. Publish returns nil once the event is durable; a
// repeat of the same event is harmless.
type ResultPublisher interface {
	Publish(ctx context.Context, e results.Event) error
}

// publishEvent publishes on the RESULTS stream, under the event's own id, with ctx's trace.
func (q *Queue) publishEvent(ctx context.Context, e results.Event) error {
	body, err := e.MarshalJSON()
	if err != nil {
		return err
	}
	return q.publishEncoded(ctx, e, body)
}

// publishEncoded publishes an event whose JSON is at hand.
func (q *Queue) publishEncoded(ctx context.Context, e results.Event, body []byte) error {
	m := nats.NewMsg(e.Subject(q.prefix))
	m.Header.Set("Content-Type", results.ContentType)
	m.Header.Set(nats.MsgIdHdr, e.ID())
	inject(ctx, m.Header)
	m.Data = body
	_, err := q.publish(ctx, m)
	return err
}
