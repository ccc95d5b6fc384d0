package queue

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/span"
	"backburn/results"
)

// Headers of a job's message, of its records and of its dead letter. A raw job is a message whose
// body is the contents; its headers have what is known about them.
const (
	HeaderFilename     = "Backburn-Filename"      // required on raw jobs
	HeaderPath         = "Backburn-Path"          // optional on raw jobs: where the file was found
	HeaderMeta         = "Backburn-Meta-"         // prefix of a raw job's metadata
	HeaderReceived     = "Backburn-Received"      // optional on raw jobs: when the file came in (RFC 3339)
	HeaderSubmit       = "Backburn-Submit"        // optional on raw jobs: "lookup" or "never", to ask for less than the policy allows
	HeaderSubmitReason = "Backburn-Submit-Reason" // optional, with Backburn-Submit: why
	HeaderReason       = "Backburn-Reason"        // dead letters: the reason
	HeaderError        = "Backburn-Error"         // dead letters: the error text
	HeaderAttempts     = "Backburn-Attempts"      // dead letters: upload attempts

	headerRecord = "Backburn-Record" // records: how many bytes of the body are JSON; contents follow
	headerJob    = "Backburn-Job"    // records and dead letters: source/id
	headerSize   = "Backburn-Size"   // dead letters: of the contents, in bytes
	headerSHA256 = "Backburn-SHA256" // dead letters: of the contents
	headerURL    = "Backburn-URL"    // dead letters: of a link

	headerOldSubject = "Backburn-Subject" // jobs of version 1 that a worker had already processed: the original subject

	headerRepeated = "Backburn-Repeated" // jobs: "true" if the job was submitted before
)

// maxJobJSON bounds a JSON job, in bytes.
const maxJobJSON = 128 << 10

// Message is a job with all that was learned about it. If its contents travel in the job's message,
// they are included. Everything stays with the job: in the ledger, when it is requeued, and in its
// dead letter.
type Message struct {
	Job        pipeline.Job  `json:"job"`
	AcceptedAt time.Time     `json:"accepted_at"`     // when the queue accepted it
	Basis      results.Basis `json:"basis,omitempty"` // of a job that waited: the basis of the verdict that it will get
	RuleBudget string        `json:"share,omitempty"` // of a job that waits for the budget of a rule: pipeline.RuleBudget.Key
	Trace      span.Context  `json:"trace,omitzero"`
	Contents   []byte        `json:"-"`             // of a raw job; nil for a link, or if Job refers to them
	Raw        bool          `json:"raw,omitempty"` // Contents has the job's contents
	Requeued   bool          `json:"-"`             // it comes from RequeueSubject, where only workers publish

	// Original describes the publisher's message if that is not a valid job, for its dead letter.
	Original *Original `json:"original,omitempty"`
}

// jobOf returns what an event says about its job.
func jobOf(d results.Data) pipeline.Job {
	j := pipeline.Job{
		ID:       d.JobID,
		Source:   d.Source,
		Kind:     pipeline.KindFile,
		Filename: d.Filename,
		Path:     d.Path,
		SHA256:   d.SHA256,
		URL:      d.URL,
	}
	if d.URL != "" {
		j.Kind = pipeline.KindURL
	}

	return j
}

// Original has the subject and the header of a message that its publisher sent. The body is in
// Message.Contents.
type Original struct {
	Subject string      `json:"subject"`
	Header  nats.Header `json:"header,omitempty"`
}

// openPublished decodes a message of JOBS in the current format.
func openPublished(n Names, raw *jetstream.RawStreamMsg) (Message, error) {
	h := raw.Header
	p, source, requeued, ok := n.parseJobSubject(raw.Subject)
	var unreadable error
	if requeued {
		m, err := decodeMessage(raw)
		if err == nil && !m.isWhole() {
			err = pipeline.Invalid("the requeued job is incomplete")
		}
		if err == nil {
			m.Requeued = true
			return m, nil
		}
		unreadable = err
	}

	m := Message{AcceptedAt: raw.Time.UTC(), Trace: span.Extract(h)}
	m.Job.Priority = p
	m.Job.Source = source
	m.Job.Repeated = h.Get(headerRepeated) != ""
	m.Job.ReceivedAt = raw.Time.UTC()
	m.Job.ID = cmp.Or(h.Get(nats.MsgIdHdr), fmt.Sprintf("m%d-%x", raw.Sequence, raw.Time.UnixNano()))
	if len(m.Job.ID) > pipeline.MaxIDBytes || !utf8.ValidString(m.Job.ID) { // an event could not carry it unchanged
		m.Job.ID = pipeline.JobKey(m.Job.ID)
	}

	var err error
	switch {
	case !ok:
		m.Job.Priority = pipeline.Normal
		m.Job.Source = "unknown"
		err = pipeline.Invalid("subject %q is not <prefix>.jobs.<urgent|normal|bulk>.<source> with a source of [a-z0-9_-]{1,32}", raw.Subject)
	case unreadable != nil:
		err = fmt.Errorf("%w, on %q, where only workers publish", unreadable, raw.Subject)
	case isJSON(h):
		err = m.readJSON(raw.Data)
	default:
		err = m.readRaw(h, raw.Data)
	}

	if err != nil {
		m.Job = m.Job.Bare()
		m.Contents = raw.Data
		m.Raw = true
		m.Original = &Original{Subject: raw.Subject, Header: bounded(h)}
	}

	return m, err
}

// openOld decodes a job of version 1 that was submitted on the given subject. If a worker has
// already processed the job, its ID is in headerJob.
func openOld(n Names, subject string, raw *jetstream.RawStreamMsg) (Message, error) {
	old := *raw
	old.Subject = subject
	if id := raw.Header.Get(headerJob); id != "" {
		old.Header = maps.Clone(raw.Header)
		old.Header[nats.MsgIdHdr] = []string{id}
	}

	return openPublished(n, &old)
}

// isWhole reports whether a decoded message has the identity of a job and either its contents or
// where they are.
func (m *Message) isWhole() bool {
	j := m.Job
	if j.ID == "" || !pipeline.ValidSource(j.Source) || !j.Priority.Valid() {
		return false
	}
	if j.Kind == pipeline.KindURL {
		return j.URL != ""
	}

	return j.Kind == pipeline.KindFile && (m.Raw || j.Content != nil)
}

func isJSON(h nats.Header) bool {
	mediaType, _, _ := strings.Cut(headerFold(h, "Content-Type"), ";")

	return strings.EqualFold(strings.TrimSpace(mediaType), "application/json")
}

// bounded returns the fields of a publisher's header for a dead letter. It drops the server's
// fields, and those that would leave no room for our own.
func bounded(h nats.Header) nats.Header {
	room := maxHeaderBytes - recordHeadroom
	kept := nats.Header{}
	for k, values := range h {
		if n := headerBytes(k, values); n <= room && !strings.HasPrefix(k, "Nats-") {
			kept[k] = values
			room -= n
		}
	}

	return kept
}

const (
	maxHeaderBytes = 64<<10 - 1 // JetStream's limit for all headers of a message

	// Room, in bytes, for all of a record except its contents: the job as JSON, the headers of
	// Original, and the record's own headers. Only names and metadata of which JSON escapes most
	// characters need more (see Message.fits).
	recordHeadroom = 40 << 10

	// JSON writes a byte as at most this many, such as "<" as "\u003c".
	maxEscaped = 6

	// Room, in bytes, for the headers of a job's record or dead letter, and for what is learned of
	// the job later.
	headersHeadroom = 16 << 10
)

// headerBytes is the size of a header in a message, in bytes.
func headerBytes(key string, values []string) int {
	n := 0
	for _, v := range values {
		n += len(key) + len(": ") + len(v) + len("\r\n")
	}

	return n
}

// readRaw decodes a job whose body is the contents.
func (m *Message) readRaw(h nats.Header, body []byte) error {
	j := &m.Job
	j.Version = 1
	j.Kind = pipeline.KindFile
	m.Raw = true
	m.Contents = body

	if t, err := time.Parse(time.RFC3339Nano, headerFold(h, HeaderReceived)); err == nil && !t.IsZero() && pipeline.ValidTime(t) {
		j.ReceivedAt = t.UTC()
	}

	sum := sha256.Sum256(body)
	j.SetVerified(hex.EncodeToString(sum[:]), int64(len(body)))

	for k, v := range h {
		if name, ok := strings.CutPrefix(strings.ToLower(k), strings.ToLower(HeaderMeta)); ok && name != "" && len(v) > 0 {
			if j.Metadata == nil {
				j.Metadata = map[string]string{}
			}
			j.Metadata[name] = strings.ToValidUTF8(v[0], "\uFFFD")
		}
	}

	name := headerFold(h, HeaderFilename)
	if name == "" {
		return pipeline.Invalid("a raw job needs the header %s", HeaderFilename)
	}
	j.Filename, j.FilenameB64 = pipeline.EncodeName(name)
	if name = headerFold(h, HeaderPath); name != "" {
		j.Path, j.PathB64 = pipeline.EncodeName(name)
	}
	j.Submit = pipeline.Submit(headerFold(h, HeaderSubmit))
	j.SubmitReason = strings.ToValidUTF8(headerFold(h, HeaderSubmitReason), "\uFFFD")

	return j.CheckText()
}

// headerFold finds a header regardless of case, because NATS keeps names as they were sent.
func headerFold(h nats.Header, key string) string {
	if v := h.Get(key); v != "" {
		return v
	}
	for k, v := range h {
		if strings.EqualFold(k, key) && len(v) > 0 {
			return v[0]
		}
	}

	return ""
}

// byteOrderMark is the beginning of texts from some editors and systems.
var byteOrderMark = []byte("\xef\xbb\xbf")

// readJSON decodes a link, or a job that refers to its contents.
func (m *Message) readJSON(body []byte) error {
	body = bytes.TrimPrefix(body, byteOrderMark)
	if len(body) > maxJobJSON {
		return pipeline.Invalid("%d bytes of JSON; at most %d", len(body), maxJobJSON)
	}
	if !utf8.Valid(body) {
		return pipeline.Invalid("the JSON is not UTF-8")
	}

	var j pipeline.Job
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&j); err != nil {
		return pipeline.Invalid("the JSON cannot be read: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return pipeline.Invalid("there is more than one JSON value")
	}

	j.ID = m.Job.ID
	j.Source = m.Job.Source
	j.Priority = m.Job.Priority
	j.Repeated = m.Job.Repeated
	if j.ReceivedAt.IsZero() {
		j.ReceivedAt = m.Job.ReceivedAt
	}
	m.Job = j

	return m.Job.Check()
}

// messageJSON is the beginning of a message that Backburn itself publishes: of a requeued job, a
// waiting job or a dead letter. It also has the fields that a publisher may not set in a job's
// JSON. The contents follow it.
type messageJSON struct {
	ID       string            `json:"id"`
	Source   string            `json:"source"`
	Priority pipeline.Priority `json:"priority"`
	Verified bool              `json:"verified,omitempty"`
	Repeated bool              `json:"repeated,omitempty"`
	*Message
}

// encode writes the message to a NATS message: a messageJSON, then the contents.
func (m *Message) encode(to *nats.Msg) error {
	body, err := m.encodeJob()
	if err != nil {
		return err
	}

	to.Header[headerRecord] = []string{strconv.Itoa(len(body))}
	to.Header[headerJob] = []string{oneLine(m.Job.Ref().String())}
	to.Data = append(body, m.Contents...)

	return nil
}

// fits reports whether the job's record and its dead letter fit, with the contents, into a message
// of this size in bytes.
func (m *Message) fits(size int64) (bool, error) {
	contents := int64(len(m.Contents))
	switch {
	case contents > size-recordHeadroom:
		return false, nil
	case contents <= size-maxEscaped*recordHeadroom:
		return true, nil
	}
	body, err := m.encodeJob()

	return contents+int64(len(body)) <= size-headersHeadroom, err
}

// encodeJob returns the job as JSON, without the contents.
func (m *Message) encodeJob() ([]byte, error) {
	body, err := json.Marshal(messageJSON{
		ID:       m.Job.ID,
		Source:   m.Job.Source,
		Priority: m.Job.Priority,
		Verified: m.Job.Verified,
		Repeated: m.Job.Repeated,
		Message:  m,
	})
	if err != nil {
		return nil, fmt.Errorf("encode job %s: %w", m.Job.Ref(), err)
	}

	return body, nil
}

// decodeMessage decodes the result of encode.
func decodeMessage(raw *jetstream.RawStreamMsg) (Message, error) {
	h, body := raw.Header, raw.Data
	n, err := strconv.Atoi(h.Get(headerRecord))
	if err != nil || n < 0 || n > len(body) {
		return Message{}, pipeline.Invalid("the header %s is %q, for a body of %d bytes", headerRecord, h.Get(headerRecord), len(body))
	}

	var m Message
	r := messageJSON{Message: &m}
	if err := json.Unmarshal(body[:n], &r); err != nil {
		return Message{}, pipeline.Invalid("its JSON cannot be read: %v", err)
	}

	m.Job.ID = r.ID
	m.Job.Source = r.Source
	m.Job.Priority = r.Priority
	m.Job.Verified = r.Verified
	m.Job.Repeated = r.Repeated
	if m.Raw {
		m.Contents = body[n:]
	}

	return m, nil
}

// oneLine makes text valid for a header. It keeps at most 1,000 bytes.
func oneLine(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c < ' ' || c == 0x7f {
			b[i] = ' '
		}
	}
	if len(b) > 1000 {
		b = b[:1000]
	}

	return string(b)
}
