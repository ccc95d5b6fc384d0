package queue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"

	"backburn/internal/guard"
	"backburn/pipeline"
	"backburn/pipeline/span"
)

// Publisher submits jobs. It needs permission to publish on its own job subjects and, for contents
// that do not fit into a message, on the object bucket. It is safe for concurrent use. If the
// context of a call has a span, the job carries it as traceparent (W3C Trace Context), and workers
// continue that trace.
type Publisher struct {
	jobs    *Jobs
	objects *Objects
	ledger  *Ledger // read and written before a job is published; nil: not used
	spans   span.Spans
	guard   *guard.Guard
}

// Publisher returns a publisher that does not use the ledger: the worker finds out whether a job
// repeats another one.
func (q *Queue) Publisher() *Publisher { return &Publisher{jobs: q.jobs, objects: q.objects} }

// CheckingPublisher returns a publisher that checks in the ledger whether a job repeats another
// one. For a repeat with other contents it returns ErrOtherContents, and one with the same contents
// is marked in the receipt. It needs permission to read and write the ledger.
func (q *Queue) CheckingPublisher() *Publisher {
	return &Publisher{jobs: q.jobs, objects: q.objects, ledger: q.ledger}
}

// Traced returns a publisher that starts a span with t for each job. A nil t starts none.
func (p *Publisher) Traced(t trace.TracerProvider) *Publisher {
	traced := *p
	traced.spans = span.New(t)

	return &traced
}

// Guarded returns a publisher that scans contents for secrets while reading them. If it finds one,
// it marks the job so that nothing of it is sent to WildFire.
func (p *Publisher) Guarded(g *guard.Guard) *Publisher {
	guarded := *p
	guarded.guard = g

	return &guarded
}

// Input is where Submit reads a job's contents. The zero value is for links, and for jobs that
// refer to their contents.
type Input struct {
	size  int64 // -1: unknown until the contents are read
	limit int64
	open  func() (io.ReadCloser, error)
}

// FromFile returns contents of a known size, in bytes; open is called once.
func FromFile(size int64, open func() (io.ReadCloser, error)) Input {
	return Input{size: size, limit: size, open: open}
}

// FromReader returns contents that can be read only once and whose size is unknown, such as the
// body of a request. More than limit bytes are ErrTooLarge.
func FromReader(r io.Reader, limit int64) Input {
	return Input{size: -1, limit: limit, open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
}

// Receipt describes a job that was submitted.
type Receipt struct {
	Size      int64  // of its contents, in bytes
	SHA256    string // 64 lower-case hexadecimal digits; "" for a link
	Duplicate bool   // a job of this source and id was submitted before, with the same contents
}

// Errors of Submit, in addition to pipeline.ErrInvalidJob.
var (
	// ErrTooLarge says that contents exceed their size limit.
	ErrTooLarge = errors.New("larger than allowed")

	// ErrOtherContents says that a job of this source and id was submitted with other contents.
	ErrOtherContents = fmt.Errorf("%w: this ID was already used for other contents", pipeline.ErrContentChanged)
)

// rawHeadroom is the room, in bytes, that a raw job's message needs in addition to the contents,
// for names, metadata and headers, including headers that are added later.
const rawHeadroom = recordHeadroom

// Submit submits a job, and returns once it and its contents are durable: in the job's message if
// the server's max_payload allows, otherwise as an object. The caller sets ID, Source and Priority,
// and the Filename of a file or the URL of a link; the rest is optional. Submitting the job again
// with the same ID is harmless, unless both calls run at the same time. Submit returns
// pipeline.ErrFull if the queue has no room; then nothing was accepted.
func (p *Publisher) Submit(ctx context.Context, j pipeline.Job, c Input) (Receipt, error) {
	j.Version = 1
	receipt, err := p.submit(ctx, j, c)
	if err != nil {
		return receipt, fmt.Errorf("submit job %s: %w", j.Ref(), err)
	}

	return receipt, nil
}

func (p *Publisher) submit(ctx context.Context, j pipeline.Job, c Input) (Receipt, error) {
	if j.ID == "" || !pipeline.ValidSource(j.Source) || !j.Priority.Valid() {
		return Receipt{}, pipeline.Invalid("id %q, source %q and priority %q are required", j.ID, j.Source, j.Priority)
	}
	if c.open == nil {
		return p.inPlace(ctx, j)
	}
	if j.Filename == "" {
		return Receipt{}, pipeline.Invalid("a file name is required")
	}
	if err := j.CheckText(); err != nil { // before anything is read, rather than later by a worker
		return Receipt{}, err
	}

	j.Kind = pipeline.KindFile
	j.Content = nil

	r, err := c.open()
	if err != nil {
		return Receipt{}, err
	}
	defer r.Close()

	in := &reading{Input: c, r: io.LimitReader(r, c.limit+1), hash: sha256.New(), scan: p.scanFields(j)}
	room := max(0, min(c.limit, p.objects.nc.MaxPayload()-rawHeadroom))
	if _, plain := rawHeader(j); !plain || c.size > room {
		return p.asObject(ctx, j, in, in)
	}

	head := bytes.NewBuffer(make([]byte, 0, max(c.size, 0)+bytes.MinRead))
	n, err := io.Copy(head, io.LimitReader(in, room+1))
	switch {
	case err != nil:
		return Receipt{}, err
	case n > room:
		return p.asObject(ctx, j, in, io.MultiReader(head, in))
	}

	return p.inMessage(ctx, j, in, head.Bytes())
}

// inPlace submits a link, or a job that refers to its contents.
func (p *Publisher) inPlace(ctx context.Context, j pipeline.Job) (Receipt, error) {
	if j.URL != "" {
		j.Kind = pipeline.KindURL
	}
	if err := j.Check(); err != nil {
		return Receipt{}, err
	}
	p.withholdIfSecret(&j, p.scanFields(j))

	return p.publish(ctx, j, func() (*nats.Msg, error) { return p.jsonJob(j) })
}

// inMessage submits a job whose contents are in its message.
func (p *Publisher) inMessage(ctx context.Context, j pipeline.Job, in *reading, body []byte) (Receipt, error) {
	if err := in.verify(j); err != nil {
		return Receipt{}, err
	}
	j.SetVerified(in.sum(), in.n)
	p.withholdIfSecret(&j, in.scan)
	h, _ := rawHeader(j)

	return p.publish(ctx, j, func() (*nats.Msg, error) {
		return &nats.Msg{Subject: p.jobs.streams.JobSubject(j.Priority, j.Source), Header: h, Data: body}, nil
	})
}

// scanFields scans the fields of a job that are sent to WildFire in addition to its contents.
func (p *Publisher) scanFields(j pipeline.Job) *guard.Scan {
	s := p.guard.Scan()
	_, _ = io.WriteString(s, j.Filename+"\n"+j.URL+"\n") // never fails

	return s
}

// withholdIfSecret marks a job in which a secret was found, so that nothing of it is sent to
// WildFire.
func (p *Publisher) withholdIfSecret(j *pipeline.Job, s *guard.Scan) {
	if err := s.Err(); err != nil {
		p.guard.Withheld()
		j.Withhold(err.Error())
	}
}

// reading hashes, counts and scans contents while they are read.
type reading struct {
	Input
	r    io.Reader
	hash hash.Hash
	scan *guard.Scan
	n    int64 // bytes that were read
}

func (in *reading) Read(b []byte) (int, error) {
	n, err := in.r.Read(b)
	in.n += int64(n)
	_, _ = in.hash.Write(b[:n]) // neither ever fails
	_, _ = in.scan.Write(b[:n])

	return n, err
}

func (in *reading) sum() string { return hex.EncodeToString(in.hash.Sum(nil)) }

// verify compares the contents that were read with the job's size and hash.
func (in *reading) verify(j pipeline.Job) error {
	switch {
	case in.size >= 0 && in.n != in.size:
		return fmt.Errorf("%w: expected %d bytes", pipeline.ErrContentChanged, in.size)
	case in.n > in.limit:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, in.limit)
	case j.SHA256 != "" && j.SHA256 != in.sum():
		return fmt.Errorf("%w: the SHA-256 differs", pipeline.ErrContentChanged)
	}

	return nil
}

// asObject stores the contents as an object, and then submits the job. Identical contents that
// exist already are not rewritten, because a worker may be reading them. If the job was not
// accepted, asObject removes its object. If that is not known, the object stays, and the bucket's
// age limit removes it if it is never used. body reads the contents through in. It begins with the
// bytes that were already read, and only these and one chunk are in memory.
func (p *Publisher) asObject(ctx context.Context, j pipeline.Job, in *reading, body io.Reader) (Receipt, error) {
	name := objectName(j.Ref())
	info, err := p.objects.store.GetInfo(ctx, name)
	fresh := errors.Is(err, jetstream.ErrObjectNotFound)
	switch {
	case fresh:
		_, err = p.objects.put(ctx, name, body)
	case err == nil:
		_, err = io.Copy(io.Discard, body)
	}
	if err == nil {
		err = in.verify(j)
	}
	if err == nil && !fresh && !hasDigest(info, in.sum()) {
		err = ErrOtherContents
	}

	var receipt Receipt
	if err == nil {
		j.SetVerified(in.sum(), in.n)
		p.withholdIfSecret(&j, in.scan)
		j.Content = &pipeline.Content{Object: name}
		if j.ReceivedAt.IsZero() {
			j.ReceivedAt = time.Now().UTC()
		}
		receipt, err = p.publish(ctx, j, func() (*nats.Msg, error) { return p.jsonJob(j) })
	}

	unwanted := err != nil && (in.n > in.limit || refused(err) || errors.Is(err, pipeline.ErrContentChanged))
	if fresh && (unwanted || receipt.Duplicate) {
		_ = p.objects.Delete(context.WithoutCancel(ctx), name)
	}

	return receipt, err
}

// publish makes the message of a job durable, unless the ledger knows a job with its identity.
func (p *Publisher) publish(ctx context.Context, j pipeline.Job, build func() (*nats.Msg, error)) (Receipt, error) {
	receipt := Receipt{Size: j.Size, SHA256: j.SHA256}
	if p.ledger != nil {
		known, err := p.accept(ctx, j)
		if err != nil || known {
			receipt.Duplicate = known
			return receipt, err
		}
	}

	m, err := build()
	if err != nil {
		return receipt, err
	}

	ctx, sp := p.spans.Publish(ctx, j)
	span.Inject(ctx, m.Header)
	_, err = p.jobs.commits.publish(ctx, m)
	span.End(sp, err != nil)

	return receipt, err
}

// accept records in the ledger a job that is about to be submitted. known says that this job is
// already in progress or done.
func (p *Publisher) accept(ctx context.Context, j pipeline.Job) (known bool, err error) {
	key := pipeline.SampleKey(j)
	for {
		entry, err := p.ledger.Job(ctx, j.Ref())
		switch {
		case err != nil:
			return false, err
		case entry.State == "":
		case entry.Sample != "" && key != "" && entry.Sample != key:
			return false, ErrOtherContents
		default:
			return entry.State != JobAccepted, nil // a job that is only accepted may never have been published
		}

		err = p.ledger.Commit(ctx, p.ledger.jobUpdate(j.Ref(), JobAccepted, key, nil, entry.Revision))
		if !errors.Is(err, pipeline.ErrConflict) {
			return false, err
		}
	}
}

// jsonJob returns the message of a link, or of a job that refers to its contents.
func (p *Publisher) jsonJob(j pipeline.Job) (*nats.Msg, error) {
	body, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}

	m := nats.NewMsg(p.jobs.streams.JobSubject(j.Priority, j.Source))
	m.Header["Content-Type"] = []string{"application/json"}
	m.Header[nats.MsgIdHdr] = []string{j.ID}
	if j.Repeated {
		m.Header[headerRepeated] = []string{"true"}
	}
	m.Data = body

	return m, nil
}

// rawHeader returns the header of a raw job. ok is false if the header would not arrive unchanged:
// values lose surrounding spaces, and names of metadata lose their case.
func rawHeader(j pipeline.Job) (nats.Header, bool) {
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
	set(HeaderSubmit, string(j.Submit), nil)
	set(HeaderSubmitReason, j.SubmitReason, nil)
	for k, v := range j.Metadata {
		ok = ok && v != "" && headerSafeKey.MatchString(k)
		set(HeaderMeta+k, v, nil)
	}

	return h, ok
}

// headerSafeKey matches names of metadata that can be part of a header's name unchanged.
var headerSafeKey = regexp.MustCompile(`^[a-z0-9._-]+$`)
