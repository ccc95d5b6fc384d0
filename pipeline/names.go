package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// Names spells every stream, bucket and subject from the one prefix of the configuration.
type Names struct{ prefix string }

// NamesFor returns the names under a prefix, such as "backburn".
func NamesFor(prefix string) Names { return Names{prefix: prefix} }

// Prefix is the first token of every subject.
func (n Names) Prefix() string { return n.prefix }

func (n Names) stream(s string) string { return strings.ToUpper(n.prefix) + "_" + s }

// Streams.

func (n Names) JobsStream() string    { return n.stream("JOBS") }
func (n Names) WaitingStream() string { return n.stream("WAITING") }
func (n Names) ResultsStream() string { return n.stream("RESULTS") }
func (n Names) DeadStream() string    { return n.stream("DEAD") }

// Buckets.

func (n Names) SamplesBucket() string { return n.prefix + "_samples" }
func (n Names) RecordsBucket() string { return n.prefix + "_jobs" }
func (n Names) ControlBucket() string { return n.prefix + "_control" }
func (n Names) TokensBucket() string  { return n.prefix + "_tokens" }
func (n Names) GrantsBucket() string  { return n.prefix + "_grants" }
func (n Names) FilesBucket() string   { return n.prefix + "_files" }

// JobSubject is where a job is handed in: <prefix>.jobs.<priority>.<source>.
func (n Names) JobSubject(p Priority, source string) string {
	return n.prefix + ".jobs." + string(p) + "." + source
}

// DeadSubject is where a dead letter lies: <prefix>.dead.<reason>.<source>.
func (n Names) DeadSubject(reason, source string) string {
	return n.prefix + ".dead." + reason + "." + source
}

// ResultsSubject matches the events of an outcome: any argument may be "*".
func (n Names) ResultsSubject(event, outcome, source string) string {
	return n.prefix + ".results." + event + "." + outcome + "." + source
}

// waitingSubject is where a job waits for the verdict on a sample. One job, one subject:
// that a job waits once is the stream's own rule.
func (n Names) waitingSubject(sampleKey, jobKey string) string {
	return n.prefix + ".waiting." + sampleKey + "." + jobKey
}

// askSubject is where workers put their questions to the batcher.
func (n Names) askSubject() string { return n.prefix + ".ask" }

// parseJobSubject takes a job's subject apart.
func (n Names) parseJobSubject(subject string) (p Priority, source string, ok bool) {
	rest, ok := strings.CutPrefix(subject, n.prefix+".jobs.")
	if !ok {
		return "", "", false
	}
	lane, source, ok := strings.Cut(rest, ".")
	p = Priority(lane)
	return p, source, ok && p.Valid() && ValidSource(source)
}

// ValidSource reports whether s can name a source: [a-z0-9_-]{1,32}.
func ValidSource(s string) bool {
	if len(s) == 0 || len(s) > 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// jobKey makes any job id fit for a key and a subject token. Ids that fit already, such
// as those of the watcher, stay as they are.
func jobKey(id string) string {
	fits := len(id) > 0 && len(id) <= 128
	for _, c := range []byte(id) {
		fits = fits && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if fits {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "h-" + hex.EncodeToString(sum[:])
}

// sampleKey is the key of what is known about a job's contents: the SHA-256 of a file,
// or "u-" and the SHA-256 of a link's text.
func sampleKey(j Job) string {
	if j.Kind == KindURL {
		sum := sha256.Sum256([]byte(j.URL))
		return "u-" + hex.EncodeToString(sum[:])
	}
	return j.SHA256
}
