package pipeline

import (
	"cmp"
	"path"
	"strings"
	"time"
)

// Priority says how urgent a job is. The jobs of one priority form a lane of the queue.
type Priority string

// The priorities, the most urgent first.
const (
	Urgent Priority = "urgent"
	Normal Priority = "normal"
	Bulk   Priority = "bulk"
)

// Priorities lists the priorities, the most urgent first.
func Priorities() []Priority { return []Priority{Urgent, Normal, Bulk} }

// PriorityRule describes what Valid accepts.
const PriorityRule = `"urgent", "normal" or "bulk"`

// Valid reports whether p is one of the three priorities.
func (p Priority) Valid() bool { return p == Urgent || p == Normal || p == Bulk }

// Before reports whether p is more urgent than o.
func (p Priority) Before(o Priority) bool { return p.rank() < o.rank() }

// rank returns 0 for the most urgent priority. An empty priority ranks last.
func (p Priority) rank() int {
	for i, l := range Priorities() {
		if l == p {
			return i
		}
	}

	return len(Priorities())
}

// Kind says whether a job submits a file or a link.
type Kind string

// The kinds of job.
const (
	KindFile Kind = "file" // a file, with its contents in the message, in an object, or by a path
	KindURL  Kind = "url"  // a link for WildFire to visit
)

// Job is one file or URL that was submitted.
//
// The JSON form is the contract with gateways (results/schema/job.v1.json). ID, Source and Priority
// are not part of it: the ID is the message's Nats-Msg-Id. Source and Priority are tokens of the
// message's subject, so that NATS permissions decide who may use a source.
type Job struct {
	ID       string   `json:"-"`
	Source   string   `json:"-"`
	Priority Priority `json:"-"`

	Version int  `json:"version"` // always 1
	Kind    Kind `json:"kind"`

	// Filename is the base name of the file as it was found, and Path its name relative to the
	// watched folder. If one of them is not UTF-8, it has replacement characters here, and the
	// field with the ending B64 has the bytes of the name.
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

	// Submit can only restrict what the policy allows. "" leaves the decision to the policy.
	Submit Submit `json:"submit,omitempty"`

	// SubmitReason tells people why Submit restricts the policy. At most MaxSubmitReason bytes.
	SubmitReason string `json:"submit_reason,omitempty"`

	// Verified says that Backburn itself computed SHA256 and Size from the contents: in a worker,
	// in a watcher, or in queue.Publisher. Otherwise a publisher declared them. Verified is never
	// read from a publisher's message.
	Verified bool `json:"-"`

	// Repeated says that the job may have been submitted or delivered before. It may have ended
	// already, even if the ledger has no record of that any more.
	Repeated bool `json:"-"`
}

// SetVerified sets the SHA-256 and the size, which the caller has computed from the contents.
func (j *Job) SetVerified(sha256 string, size int64) {
	j.SHA256 = sha256
	j.Size = size
	j.Verified = true
}

// MaxSubmitReason bounds Job.SubmitReason, in bytes.
const MaxSubmitReason = 512

// Withhold sets Submit so that nothing about the job is sent to WildFire, not even its hash.
func (j *Job) Withhold(why string) {
	j.Submit = SubmitNever
	j.SubmitReason = Cut(why, MaxSubmitReason)
}

// extension returns the extension of a job's file name in lower case, with the dot; "." for a name
// without one. WildFire recognizes scripts by their extension.
func extension(j Job) string { return cmp.Or(strings.ToLower(path.Ext(j.Filename)), ".") }
