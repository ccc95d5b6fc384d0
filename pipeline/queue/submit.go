package queue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
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

// Publisher submits jobs. It needs the right to publish on its own job subjects, and for contents
// that do not fit a message to the object bucket. It is safe for concurrent use. Where the context
// of a call holds a span, the job carries it as traceparent (W3C Trace Context), and what workers
// do about it continues that trace.
type Publisher struct {
	q     *Queue
	spans span.Spans
	once  bool // the ledger is asked, and told, before the job is published
	guard *guard.Guard
}

// Publisher returns what submits jobs without a look at the ledger: whether a job repeats another
// is for the worker to find out.
func (q *Queue) Publisher() *Publisher { return &Publisher{q: q} }

// Once returns what submits jobs that may be repeated by somebody who wants to know: a repeat
// with other contents is ErrOtherContents, one with the same is told by the receipt. It needs the
// right to read and write the ledger.
func (q *Queue) Once() *Publisher { return &Publisher{q: q, once: true} }

// Traced returns a publisher whose jobs carry a span of its own, which t makes; nil makes none.
func (p *Publisher) Traced(t trace.TracerProvider) *Publisher {
	traced := *p
	traced.spans = span.New(t)

	return &traced
}

// Guarded returns a publisher that looks for secrets in the contents that it reads. A job with such
// contents asks that nothing of it leaves.
func (p *Publisher) Guarded(g *guard.Guard) *Publisher {
	guarded := *p
	guarded.guard = g

	return &guarded
}

// Content is where a job's bytes come from when it is submitted. The zero value is for links, and
// for jobs that say themselves where their contents are.
type Content struct {
	size  int64 // -1: not known before it was read
	limit int64
	open  func() (io.ReadCloser, error)
}

// FromFile is contents of a known size, in bytes; open is called once.
func FromFile(size int64, open func() (io.ReadCloser, error)) Content {
	return Content{size: size, limit: size, open: open}
}

// FromReader is contents that can be read once and whose size is not known before, such as the
// body of a request; more than limit bytes are ErrTooLarge.
func FromReader(r io.Reader, limit int64) Content {
	return Content{size: -1, limit: limit, open: func() (io.ReadCloser, error) { return io.NopCloser(r), nil }}
}

// Receipt is what became of a job that was submitted.
type Receipt struct {
	Size      int64  // of its contents, in bytes
	SHA256    string // 64 lower-case hexadecimal digits; "" for a link
	Duplicate bool   // a job of this source and id was submitted before, with the same contents
}

// What can be wrong with a job that is submitted, beside pipeline.ErrInvalidJob.
var (
	// ErrTooLarge says that contents are longer than they may be.
	ErrTooLarge = errors.New("larger than is allowed")

	// ErrOtherContents says that a job of this source and id was submitted with other contents.
	ErrOtherContents = fmt.Errorf("%w since they were submitted under this id", pipeline.ErrContentChanged)
)

// rawHeadroom is what a raw job's message needs beside the contents: names, metadata and headers,
// also those that are added on its way, in bytes.
const rawHeadroom = onwardRoom

// Submit hands a job in and returns once it and its contents are durable: in the job's message
// where the server's max_payload allows, else as an object. ID, Source and Priority are the
// caller's, and so is the Filename of a file or the URL of a link; the rest is optional. A repeat
// with the same id is harmless, though not at the same time. It returns pipeline.ErrFull when the
// queue has no room: nothing was accepted.
func (p *Publisher) Submit(ctx context.Context, j pipeline.Job, c Content) (Receipt, error) {
	j.Version = 1
	receipt, err := p.submit(ctx, j, c)
	if err != nil {
		return receipt, fmt.Errorf("submit job %s: %w", j.Ref(), err)
	}

	return receipt, nil
}

func (p *Publisher) submit(ctx context.Context, j pipeline.Job, c Content) (Receipt, error) {
	if j.ID == "" || !pipeline.ValidSource(j.Source) || !j.Priority.Valid() {
		return Receipt{}, pipeline.Invalid("id %q, source %q and priority %q are required", j.ID, j.Source, j.Priority)
	}
	if c.open == nil {
		return p.inPlace(ctx, j)
	}
	if j.Filename == "" {
		return Receipt{}, pipeline.Invalid("a file name is required")
	}
	if err := j.CheckText(); err != nil { // before anything is read, and not by a worker later
		return Receipt{}, err
	}

	j.Kind = pipeline.KindFile
	j.Content = nil

	r, err := c.open()
	if err != nil {
		return Receipt{}, err
	}
	defer r.Close()

	room := max(0, min(c.limit, p.q.nc.MaxPayload()-rawHeadroom))
	if _, plain := rawHeader(j); !plain || c.size > room {
		return p.stream(ctx, j, c, r)
	}

	head := bytes.NewBuffer(make([]byte, 0, max(c.size, 0)+bytes.MinRead))
	n, err := io.Copy(head, io.LimitReader(r, room+1))
	switch {
	case err != nil:
		return Receipt{}, err
	case n > room:
		return p.stream(ctx, j, c, io.MultiReader(head, r))
	}

	return p.inMessage(ctx, j, c, head.Bytes())
}

// inPlace submits a job that says where its contents are, or a link.
func (p *Publisher) inPlace(ctx context.Context, j pipeline.Job) (Receipt, error) {
	if j.URL != "" {
		j.Kind = pipeline.KindURL
	}
	if err := j.Check(); err != nil {
		return Receipt{}, err
	}
	p.keepHere(&j, p.lookAt(j))

	return p.publish(ctx, j, func() (*nats.Msg, error) { return p.jsonJob(j) })
}

// inMessage submits a job whose contents are in its message.
func (p *Publisher) inMessage(ctx context.Context, j pipeline.Job, c Content, body []byte) (Receipt, error) {
	sum := sha256.Sum256(body)
	if err := c.verify(j, hex.EncodeToString(sum[:]), int64(len(body))); err != nil {
		return Receipt{}, err
	}
	j.Learn(hex.EncodeToString(sum[:]), int64(len(body)))

	scan := p.lookAt(j)
	_, _ = scan.Write(body) // never fails
	p.keepHere(&j, scan)

	h, _ := rawHeader(j)

	return p.publish(ctx, j, func() (*nats.Msg, error) {
		return &nats.Msg{Subject: p.q.JobSubject(j.Priority, j.Source), Header: h, Data: body}, nil
	})
}

// lookAt looks for secrets in what leaves of a job beside contents.
func (p *Publisher) lookAt(j pipeline.Job) *guard.Scan {
	s := p.guard.Scan()
	_, _ = io.WriteString(s, j.Filename+"\n"+j.URL+"\n") // never fails

	return s
}

// keepHere has nothing leave of a job whose contents hold a secret.
func (p *Publisher) keepHere(j *pipeline.Job, s *guard.Scan) {
	if err := s.Err(); err != nil {
		p.guard.Withheld()
		j.Withhold(err.Error())
	}
}

// verify holds contents that were read against what was promised.
func (c Content) verify(j pipeline.Job, sum string, n int64) error {
	switch {
	case c.size >= 0 && n != c.size:
		return fmt.Errorf("%w: not the %d bytes that were promised", pipeline.ErrContentChanged, c.size)
	case n > c.limit:
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, c.limit)
	case j.SHA256 != "" && j.SHA256 != sum:
		return fmt.Errorf("%w: the SHA-256 is another", pipeline.ErrContentChanged)
	}

	return nil
}

// stream stores the contents as an object, and then submits the job. Contents that are there
// already are left alone: a worker may be reading them. The object of a job that was not accepted
// is removed; one of which that is not known stays, and is dropped by the bucket's age if nobody
// comes for it. No more than a chunk is held in memory.
func (p *Publisher) stream(ctx context.Context, j pipeline.Job, c Content, r io.Reader) (Receipt, error) {
	name := objectName(j.Ref())
	scan := p.lookAt(j)
	counted := newHashingReader(io.TeeReader(io.LimitReader(r, c.limit+1), scan))

	info, err := p.q.files.GetInfo(ctx, name)
	fresh := errors.Is(err, jetstream.ErrObjectNotFound)
	switch {
	case fresh:
		_, err = p.q.Objects().put(ctx, name, counted)
	case err == nil:
		_, err = io.Copy(io.Discard, counted)
	}
	if err == nil {
		err = c.verify(j, counted.sum(), counted.n)
	}
	if err == nil && !fresh && !holds(info, counted.sum()) {
		err = ErrOtherContents
	}

	var receipt Receipt
	if err == nil {
		j.Learn(counted.sum(), counted.n)
		p.keepHere(&j, scan)
		j.Content = &pipeline.Content{Object: name}
		if j.ReceivedAt.IsZero() {
			j.ReceivedAt = time.Now().UTC()
		}
		receipt, err = p.publish(ctx, j, func() (*nats.Msg, error) { return p.jsonJob(j) })
	}

	unwanted := err != nil && (counted.n > c.limit || refused(err) || errors.Is(err, pipeline.ErrContentChanged))
	if fresh && (unwanted || receipt.Duplicate) {
		_ = p.q.Objects().Delete(context.WithoutCancel(ctx), name)
	}

	return receipt, err
}

// objectName is where the contents of a job are stored. A token more would be another job's.
func objectName(r pipeline.Ref) string { return "job." + r.Source + "." + pipeline.JobKey(r.ID) }

// publish makes the message of a job durable, unless the ledger knows a job of its identity.
func (p *Publisher) publish(ctx context.Context, j pipeline.Job, build func() (*nats.Msg, error)) (Receipt, error) {
	receipt := Receipt{Size: j.Size, SHA256: j.SHA256}
	if p.once {
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
	err = p.q.insistOn(ctx, p.q.jobCommits, []*nats.Msg{m}, func(int, *message) {})
	span.End(sp, err != nil)

	return receipt, err
}

// accept notes in the ledger what is about to be submitted. known says that this job is under way,
// or over, already.
func (p *Publisher) accept(ctx context.Context, j pipeline.Job) (known bool, err error) {
	key := pipeline.SampleKey(j)
	for {
		entry, err := p.q.Job(ctx, j.Ref())
		switch {
		case err != nil:
			return false, err
		case entry.State == "":
		case entry.Sample != "" && key != "" && entry.Sample != key:
			return false, ErrOtherContents
		default:
			return entry.State != JobAccepted, nil // accepted, and then perhaps never published
		}

		c := change(p.q.LedgerSubject(j.Ref()), nil, entry.Revision, nil)
		c.msg.Header[headerState] = []string{string(JobAccepted)}
		c.msg.Header[headerSample] = []string{key}
		c.expires(p.q.topology.ResultsMaxAge)
		if err := p.q.Commit(ctx, c); !errors.Is(err, pipeline.ErrConflict) {
			return false, err
		}
	}
}

// jsonJob is the message of a job by reference, or of a link.
func (p *Publisher) jsonJob(j pipeline.Job) (*nats.Msg, error) {
	body, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}

	m := nats.NewMsg(p.q.JobSubject(j.Priority, j.Source))
	m.Header["Content-Type"] = []string{"application/json"}
	m.Header[nats.MsgIdHdr] = []string{j.ID}
	m.Data = body

	return m, nil
}

// rawHeader is the header of a raw job; not ok where it would not arrive as it is, since values
// lose what surrounds them, and names of metadata their case.
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
		ok = ok && v != "" && plainKey.MatchString(k)
		set(HeaderMeta+k, v, nil)
	}

	return h, ok
}

// plainKey matches names of metadata that survive as part of a header's name.
var plainKey = regexp.MustCompile(`^[a-z0-9._-]+$`)
