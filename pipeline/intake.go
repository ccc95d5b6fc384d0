package pipeline

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
)

// Limits of a job's text.
const (
	maxMetadataPairs = 32
	maxMetadataBytes = 8 << 10
	maxJobJSON       = 128 << 10 // of a JSON job, in bytes
	maxNameBytes     = 4096
	maxURLBytes      = 8 << 10
	maxObjectBytes   = 1 << 10 // of an object's name: it becomes part of a subject, and a server bounds those
	maxIDBytes       = 1 << 10
)

// ErrInvalidJob is matched by everything that makes a message no job.
var ErrInvalidJob = errors.New("invalid job")

func invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidJob, fmt.Sprintf(format, a...))
}

// envelope is a job together with the message that carried it, which travels on whole:
// to WAITING, to DEAD, and back to JOBS.
type envelope struct {
	Job     Job
	subject string // the original one
	header  nats.Header
	body    []byte
	raw     bool // the body is the contents
}

// open reads a job's message. subject is the one under which the job was handed in, which
// on JOBS is the message's own: no header may overrule it. seq and at, the message's place
// in its stream, make the id of a job whose publisher gave none. The envelope is usable,
// for a dead letter, even where the error is not nil.
func (n Names) open(subject string, h nats.Header, body []byte, seq uint64, at time.Time) (envelope, error) {
	e := envelope{subject: subject, header: h, body: body}
	lane, source, ok := n.parseJobSubject(subject)
	e.Job.Priority, e.Job.Source = lane, source
	e.Job.ID = cmp.Or(h.Get(HeaderJob), h.Get(nats.MsgIdHdr), fmt.Sprintf("m%d-%x", seq, at.UnixNano()))
	if len(e.Job.ID) > maxIDBytes || !utf8.ValidString(e.Job.ID) { // it would not survive in an event
		e.Job.ID = jobKey(e.Job.ID)
	}
	if !ok {
		e.Job.Priority, e.Job.Source = Normal, "unknown"
		return e, invalid("subject %q is not <prefix>.jobs.<urgent|normal|bulk>.<source> with a source of [a-z0-9_-]{1,32}", subject)
	}
	mediaType, _, _ := strings.Cut(headerFold(h, "Content-Type"), ";")
	if strings.EqualFold(strings.TrimSpace(mediaType), "application/json") {
		return e, e.readJSON()
	}
	e.raw = true
	return e, e.readRaw(at)
}

func (e *envelope) readRaw(at time.Time) error {
	j := &e.Job
	j.Version, j.Kind, j.ReceivedAt = 1, KindFile, at.UTC()
	if t, err := time.Parse(time.RFC3339Nano, headerFold(e.header, HeaderReceived)); err == nil && writable(t.UTC()) {
		j.ReceivedAt = t.UTC()
	}
	sum := sha256.Sum256(e.body)
	j.Size, j.SHA256 = int64(len(e.body)), hex.EncodeToString(sum[:])
	for k, v := range e.header {
		if name, ok := cutPrefixFold(k, HeaderMeta); ok && len(v) > 0 {
			if j.Metadata == nil {
				j.Metadata = map[string]string{}
			}
			j.Metadata[strings.ToLower(name)] = strings.ToValidUTF8(v[0], "\uFFFD")
		}
	}
	name := headerFold(e.header, HeaderFilename)
	if name == "" {
		return invalid("a raw job needs the header %s", HeaderFilename)
	}
	j.Filename, j.FilenameB64 = Name(name)
	if name = headerFold(e.header, HeaderPath); name != "" {
		j.Path, j.PathB64 = Name(name)
	}
	return e.checkText()
}

// writable reports whether a time can be told in an event (RFC 3339 has four digits for the year).
func writable(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }

func cutPrefixFold(s, prefix string) (string, bool) {
	if len(s) > len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):], true
	}
	return "", false
}

// headerFold finds a header whatever the case in which it was sent: NATS keeps it as is.
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

func (e *envelope) readJSON() error {
	if len(e.body) > maxJobJSON {
		return invalid("%d bytes of JSON; at most %d", len(e.body), maxJobJSON)
	}
	if !utf8.Valid(e.body) {
		return invalid("the JSON is not UTF-8")
	}
	var j Job
	d := json.NewDecoder(bytes.NewReader(e.body))
	if err := d.Decode(&j); err != nil {
		return invalid("the JSON can't be read: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return invalid("there is more than one JSON value")
	}
	j.ID, j.Source, j.Priority = e.Job.ID, e.Job.Source, e.Job.Priority
	e.Job = j
	if j.Version != 1 {
		return invalid("version %d; this is version 1", j.Version)
	}
	if err := e.checkText(); err != nil {
		return err
	}
	switch j.Kind {
	case KindURL:
		return checkURL(j)
	case KindFile:
		return e.checkFile()
	}
	return invalid("kind %q; file or url", j.Kind)
}

func (e *envelope) checkText() error {
	j := &e.Job
	if max(len(j.Filename), len(j.FilenameB64), len(j.Path), len(j.PathB64)) > maxNameBytes {
		return invalid("a name of more than %d bytes", maxNameBytes)
	}
	total := 0
	for k, v := range j.Metadata {
		total += len(k) + len(v)
	}
	if len(j.Metadata) > maxMetadataPairs || total > maxMetadataBytes {
		err := invalid("metadata of %d pairs and %d bytes; at most %d and %d",
			len(j.Metadata), total, maxMetadataPairs, maxMetadataBytes)
		j.Metadata = nil // it would be copied into the event
		return err
	}
	return nil
}

func checkURL(j Job) error {
	if j.Content != nil {
		return invalid("a url job has no content")
	}
	if !ValidURL(j.URL) {
		return invalid("url must be an http or https URL of at most %d bytes", maxURLBytes)
	}
	return nil
}

// ValidURL reports whether s can be the link of a job: http or https, with a host, at most 8 KiB.
func ValidURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && len(s) <= maxURLBytes
}

func (e *envelope) checkFile() error {
	j := &e.Job
	if j.URL != "" {
		return invalid("a file job has no url")
	}
	if j.Filename == "" {
		return invalid("filename is required")
	}
	if j.Size < 0 {
		return invalid("size %d", j.Size)
	}
	if j.SHA256 = strings.ToLower(j.SHA256); j.SHA256 != "" {
		if b, err := hex.DecodeString(j.SHA256); err != nil || len(b) != sha256.Size {
			j.SHA256 = ""
			return invalid("sha256 must be 64 hexadecimal digits")
		}
	}
	c := j.Content
	switch {
	case c == nil:
		return invalid("content is required")
	case c.Object != "" && (c.Path != "" || c.PathB64 != nil), c.Object == "" && c.Path == "" && c.PathB64 == nil:
		return invalid("content must be either an object or a path")
	case len(c.Object) > maxObjectBytes:
		j.Content = nil // nobody is to look for it
		return invalid("content.object of more than %d bytes", maxObjectBytes)
	case c.Object != "":
		return nil
	}
	return checkRelative(c.name())
}

// name is the path's bytes.
func (c *Content) name() string {
	if c.PathB64 != nil {
		return string(c.PathB64)
	}
	return c.Path
}

// drive is how absolute names begin on Windows. Elsewhere a colon is a character like any other.
var drive = regexp.MustCompile(`^[A-Za-z]:[/\\]`)

// checkRelative refuses what could lead out of a root by its spelling: links are judged
// when the file is opened.
func checkRelative(name string) error {
	switch {
	case strings.ContainsRune(name, 0), len(name) > maxNameBytes:
		return invalid("content.path with a NUL, or longer than %d bytes", maxNameBytes)
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, `\`), drive.MatchString(name):
		return invalid("content.path must be relative to the source's root")
	case name == ".", path.Clean(name) != name, name == "..", strings.HasPrefix(name, "../"):
		return invalid("content.path must be a plain relative name, without . or ..")
	}
	return nil
}

// onward makes the message that carries the job on to another subject: the original
// bytes and headers, with where it came from. JetStream's own headers stay behind, since
// an id or an expectation of the first publish would be obeyed again, and so do headers for which
// there is no room, our own the last.
func (e *envelope) onward(subject string) *nats.Msg {
	m := nats.NewMsg(subject)
	foreign := func(k string) int {
		if _, ours := cutPrefixFold(k, "Backburn-"); ours || strings.EqualFold(k, "Content-Type") {
			return 0
		}
		return 1
	}
	keys := slices.SortedFunc(maps.Keys(e.header), func(a, b string) int {
		return cmp.Or(foreign(a)-foreign(b), strings.Compare(a, b))
	})
	room := maxHeaderBytes - onwardRoom
	for _, k := range keys {
		n := headerBytes(k, e.header[k])
		if n <= room && !strings.HasPrefix(k, "Nats-") {
			m.Header[k] = e.header[k]
			room -= n
		}
	}
	m.Header.Set(HeaderJob, e.Job.ID)
	m.Header.Set(HeaderSubject, e.subject)
	if e.raw { // the time of the next message will be another
		m.Header.Set(HeaderReceived, e.Job.ReceivedAt.Format(time.RFC3339Nano))
	}
	m.Data = e.body
	return m
}

const (
	maxHeaderBytes = 64<<10 - 1 // of all headers of a message: JetStream takes no more

	// What is added to a job's headers on its way at most: its id three times, its subject, an error.
	onwardRoom = 12 << 10
)

// headerBytes is what a header takes in a message.
func headerBytes(key string, values []string) int {
	n := 0
	for _, v := range values {
		n += len(key) + len(": ") + len(v) + len("\r\n")
	}
	return n
}

// unload moves a body that leaves no room in a message for what is added on the job's way into an
// object, and makes the job point there.
func (q *Queue) unload(ctx context.Context, e *envelope) error {
	size := len(e.body)
	for k, v := range e.header {
		size += headerBytes(k, v)
	}
	if int64(size) <= q.nc.MaxPayload()-onwardRoom {
		return nil
	}
	sum := sha256.Sum256(e.body)
	name := "job." + jobKey(e.Job.ID) + "." + hex.EncodeToString(sum[:])
	_, _, err := q.Publisher().store(ctx, name, int64(len(e.body)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(e.body)), nil
	})
	if err != nil {
		return err
	}
	e.Job.Content = &Content{Object: name}
	body, err := json.Marshal(e.Job)
	if err != nil {
		return err
	}
	header := nats.Header{}
	for k, v := range e.header {
		if !strings.EqualFold(k, "Content-Type") {
			header[k] = v
		}
	}
	header.Set("Content-Type", "application/json")
	e.header, e.body, e.raw = header, body, false
	return nil
}
