package pipeline

import (
	"cmp"
	"path"
	"strings"
	"time"
	"unicode/utf8"
)

// Priority is the lane of a job, the second token of its subject.
type Priority string

// The lanes, from the one that goes first.
const (
	Urgent Priority = "urgent"
	Normal Priority = "normal"
	Bulk   Priority = "bulk"
)

// Priorities lists the lanes, the most urgent first.
func Priorities() []Priority { return []Priority{Urgent, Normal, Bulk} }

// Valid reports whether p is one of the three lanes.
func (p Priority) Valid() bool { return p == Urgent || p == Normal || p == Bulk }

// Before reports whether p is more urgent than o.
func (p Priority) Before(o Priority) bool { return p.rank() < o.rank() }

// rank orders the lanes, the most urgent first. No priority at all ranks last.
func (p Priority) rank() int {
	for i, l := range Priorities() {
		if l == p {
			return i
		}
	}

	return len(Priorities())
}

// Kind says what a job submits.
type Kind string

// The kinds of job.
const (
	KindFile Kind = "file" // contents travel by reference or in the message
	KindURL  Kind = "url"  // a link for WildFire to visit
)

// Job is one file or URL that was submitted.
//
// The JSON form is the contract with gateways (results/schema/job.v1.json). ID, Source
// and Priority are not part of it: the identity is the message's Nats-Msg-Id, the other
// two are tokens of its subject, so that NATS permissions decide who may speak for whom.
type Job struct {
	ID       string   `json:"-"`
	Source   string   `json:"-"`
	Priority Priority `json:"-"`

	Version int  `json:"version"` // always 1
	Kind    Kind `json:"kind"`

	// Filename is the base name under which the file was found, Path its name relative to
	// the folder that is watched. Names that are not UTF-8 are shown with replacement
	// characters here, and whole in the _b64 twins.
	Filename    string `json:"filename,omitempty"`
	FilenameB64 []byte `json:"filename_b64,omitempty"`
	Path        string `json:"path,omitempty"`
	PathB64     []byte `json:"path_b64,omitempty"`

	Size    int64    `json:"size,omitempty"`   // in bytes
	SHA256  string   `json:"sha256,omitempty"` // 64 lower-case hexadecimal digits
	Content *Content `json:"content,omitempty"`
	URL     string   `json:"url,omitempty"`

	Metadata   map[string]string `json:"metadata,omitempty"` // at most 32 pairs and 8 KiB
	ReceivedAt time.Time         `json:"received_at,omitzero"`

	// Submit asks for less than the policy allows; "" for what that says.
	Submit Submit `json:"submit,omitempty"`

	// SubmitReason says why Submit asks for less, for people; at most MaxSubmitReason bytes.
	SubmitReason string `json:"submit_reason,omitempty"`

	// Verified says that SHA256 and Size are those of the contents, as a worker or this system's
	// own watcher computed them, and not what a publisher says. It never comes from outside.
	Verified bool `json:"-"`
}

// Learn takes note of what the contents are.
func (j *Job) Learn(sha256 string, size int64) {
	j.SHA256 = sha256
	j.Size = size
	j.Verified = true
}

// MaxSubmitReason bounds Job.SubmitReason, in bytes.
const MaxSubmitReason = 512

// Withhold has nothing of the job leave, not even its hash.
func (j *Job) Withhold(why string) {
	j.Submit = SubmitNever
	j.SubmitReason = why[:min(len(why), MaxSubmitReason)]
}

// Content says where a job's bytes are. Exactly one field is set.
type Content struct {
	Object  string `json:"object,omitempty"`   // name in the object bucket
	Path    string `json:"path,omitempty"`     // slash-separated name below the source's root
	PathB64 []byte `json:"path_b64,omitempty"` // the same where Path is not UTF-8; wins over it
}

// Name is the path's bytes.
func (c *Content) Name() string {
	if c.PathB64 != nil {
		return string(c.PathB64)
	}

	return c.Path
}

// Name splits a file name of any bytes into the text that JSON can carry and, where
// that text is not the whole truth, the bytes themselves (nil otherwise).
func Name(raw string) (text string, b64 []byte) {
	if utf8.ValidString(raw) {
		return raw, nil
	}
	return strings.ToValidUTF8(raw, "\uFFFD"), []byte(raw)
}

// extension is what WildFire would tell a script by; "." for a name without one.
func extension(j Job) string { return cmp.Or(strings.ToLower(path.Ext(j.Filename)), ".") }
