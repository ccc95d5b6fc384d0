package history

import (
	"cmp"
	"encoding/hex"
	"hash/maphash"
	"path"
	"strings"
	"sync"
	"time"

	"backburn/pipeline"
	"backburn/results"
)

// Limits bound a Summary.
type Limits struct {
	Events int // events that can be searched
	Bytes  int // bytes of their names, paths and IDs
}

// DefaultLimits are 400,000 events and 64 MiB of text, which use at most 120 MB.
func DefaultLimits() Limits { return Limits{Events: 400_000, Bytes: 64 << 20} }

const (
	maxField      = 2048    // bytes of a text that are kept
	maxMessage    = 300     // bytes of the message of a failure
	maxUnfinished = 200_000 // jobs that were uploaded and are not done
)

// Summary has the counts of the last hours and the newest events. It is safe for concurrent use.
type Summary struct {
	limits Limits

	mu         sync.RWMutex
	chunks     []*chunk // the oldest first
	events     int
	bytes      int
	dropped    uint64 // events that were dropped
	hasOlder   bool   // the stream has older events, which were never read
	last       uint64 // sequence of the newest event
	names      nameTable
	hours      hours
	unfinished map[uint64]struct{} // jobs that were uploaded and are not done
	seed       maphash.Seed
}

// NewSummary makes an empty Summary.
func NewSummary(l Limits) *Summary {
	return &Summary{
		limits:     l,
		names:      nameTable{index: map[string]uint16{}},
		hours:      hours{byNumber: map[int64]*hour{}},
		unfinished: map[uint64]struct{}{},
		seed:       maphash.MakeSeed(),
	}
}

// MarkIncomplete records that the stream has events from before the first one in the Summary.
func (b *Summary) MarkIncomplete() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hasOlder = true
}

// Add adds an event with its sequence in the stream. Events that were added before are ignored.
func (b *Summary) Add(e results.Event, seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if seq <= b.last {
		return
	}
	b.last = seq
	if e.Type == results.Reported || e.Type == results.Audited {
		return // the page shows a report with its file; an audit event has no file
	}

	b.count(e)
	if e.Type == results.Submitted {
		return
	}
	b.addEntry(e, seq)
	for len(b.chunks) > 1 && (b.events > b.limits.Events || b.bytes > b.limits.Bytes) {
		old := b.chunks[0]
		b.events -= len(old.entries)
		b.bytes -= old.bytes()
		b.dropped += uint64(len(old.entries))
		b.chunks[0] = nil
		b.chunks = b.chunks[1:]
	}
}

// count adds an event to its hour.
func (b *Summary) count(e results.Event) {
	d := e.Data
	h := b.hours.at(e.Time)
	job := maphash.String(b.seed, d.Source+"/"+d.JobID)
	_, isUnfinished := b.unfinished[job]

	switch e.Type {
	case results.Submitted:
		if !isUnfinished && len(b.unfinished) < maxUnfinished {
			b.unfinished[job] = struct{}{}
		}
	case results.Verdict:
		h.verdicts[knownOrOther(e.Outcome(), verdictNames)]++
		if took := d.DecidedAt.Sub(d.ReceivedAt); !d.ReceivedAt.IsZero() && took > 0 {
			h.durations.add(took)
		}
	case results.Failed:
		h.failed[knownOrOther(e.Outcome(), reasonNames)]++
	case results.Changed:
		h.changed++
		return // the job arrived too long ago
	}
	if e.Type.Final() {
		delete(b.unfinished, job)
	}
	if !isUnfinished {
		b.hours.at(cmp.Or(d.ReceivedAt, e.Time)).arrived++
	}
}

// addEntry makes an event searchable.
func (b *Summary) addEntry(e results.Event, seq uint64) {
	if len(b.chunks) == 0 || len(b.chunks[len(b.chunks)-1].entries) == chunkEvents {
		b.chunks = append(b.chunks, &chunk{})
	}
	c := b.chunks[len(b.chunks)-1]
	d := e.Data
	r := entry{
		seq:      seq,
		at:       e.Time.UnixMilli(),
		size:     d.Size,
		outcome:  b.names.number(e.Outcome()),
		source:   b.names.number(d.Source),
		filetype: b.names.number(d.Filetype),
		basis:    b.names.number(string(d.Basis)),
		kind:     e.Type,
	}
	if sum, err := hex.DecodeString(d.SHA256); err == nil && len(sum) == len(r.sha256) {
		r.sha256 = [32]byte(sum)
		r.hashed = true
	}
	if took := d.DecidedAt.Sub(d.ReceivedAt); !d.ReceivedAt.IsZero() && took > 0 {
		r.took = float32(took.Seconds())
	}

	name := d.Filename
	if name != "" && path.Base(d.Path) == name {
		name = "" // the path ends with it
	}
	message := ""
	if d.Error != nil {
		message = pipeline.Cut(d.Error.Message, maxMessage)
	}
	texts := [fieldCount]string{
		fieldJob:       d.Source + "/" + d.JobID,
		fieldName:      name,
		fieldPath:      d.Path,
		fieldURL:       d.URL,
		fieldMD5:       d.MD5,
		fieldMessageID: messageID(d.Metadata),
		fieldMessage:   message,
	}
	for i := range texts {
		texts[i] = pipeline.Cut(texts[i], maxField)
	}
	before := c.bytes()
	c.add(r, texts)
	if len(c.entries) == chunkEvents {
		c.compact()
	}
	b.events++
	b.bytes += c.bytes() - before
}

// messageID returns the mail's Message-ID, which gateways set as metadata.
func messageID(m map[string]string) string {
	return cmp.Or(m["message-id"], m["message_id"], m["Message-ID"])
}

// Hit is an event in a list. It has no metadata, which may name people.
type Hit struct {
	Seq      uint64    `json:"seq"` // in the stream
	Time     time.Time `json:"time"`
	Event    string    `json:"event"`   // verdict, failed, changed
	Outcome  string    `json:"outcome"` // the verdict, or the reason
	Job      string    `json:"job"`
	Source   string    `json:"source"`
	Filename string    `json:"filename,omitempty"`
	Path     string    `json:"path,omitempty"`
	URL      string    `json:"url,omitempty"`
	SHA256   string    `json:"sha256,omitempty"`
	MD5      string    `json:"md5,omitempty"`
	Size     int64     `json:"size"` // in bytes
	Filetype string    `json:"filetype,omitempty"`
	Basis    string    `json:"basis,omitempty"`
	Message  string    `json:"message,omitempty"` // on failed events
	Took     float64   `json:"took,omitempty"`    // seconds from arrival to decision; absent: unknown
}

func (b *Summary) hit(c *chunk, i int) Hit {
	r := &c.entries[i]
	h := Hit{
		Seq:      r.seq,
		Time:     time.UnixMilli(r.at).UTC(),
		Event:    r.kind.Name(),
		Outcome:  b.names.list[r.outcome],
		Filename: c.field(i, fieldName),
		Path:     c.field(i, fieldPath),
		URL:      c.field(i, fieldURL),
		MD5:      c.field(i, fieldMD5),
		Size:     r.size,
		Filetype: b.names.list[r.filetype],
		Basis:    b.names.list[r.basis],
		Message:  c.field(i, fieldMessage),
		Took:     float64(r.took),
	}
	source, job, _ := strings.Cut(c.field(i, fieldJob), "/") // a source has no slash
	h.Source = source
	h.Job = job
	if h.Filename == "" && h.Path != "" {
		h.Filename = path.Base(h.Path)
	}
	if r.hashed {
		h.SHA256 = hex.EncodeToString(r.sha256[:])
	}

	return h
}
