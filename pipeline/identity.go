package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"backburn/results"
)

// Ref is the identity of a job: its source and its ID. Two sources may use the same ID for
// different jobs.
type Ref struct {
	Source string
	ID     string
}

// String returns "source/id", the form for people.
func (r Ref) String() string { return r.Source + "/" + r.ID }

// ParseRef reads "source/id". If the text does not have this form, with a valid source, ParseRef
// takes the whole text as an ID, and ok is false.
func ParseRef(s string) (r Ref, ok bool) {
	source, id, found := strings.Cut(s, "/")
	if !found || !ValidSource(source) || id == "" {
		return Ref{ID: s}, false
	}

	return Ref{Source: source, ID: id}, true
}

// Ref returns the identity of the job.
func (j Job) Ref() Ref { return Ref{Source: j.Source, ID: j.ID} }

// SourceRule describes what ValidSource accepts.
const SourceRule = "1 to 32 of a-z, 0-9, _ and -"

// ValidSource reports whether s can name a source: [a-z0-9_-]{1,32}, except results.AuditSource,
// which stands for the whole fleet.
func ValidSource(s string) bool {
	if s == "" || len(s) > 32 || s == results.AuditSource {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}

	return true
}

// JobKey turns any job ID into a valid subject token. IDs of up to 128 letters, digits, _ and -,
// such as the watcher's, stay unchanged.
func JobKey(id string) string {
	fits := id != "" && len(id) <= 128
	for _, c := range []byte(id) {
		fits = fits && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-')
	}
	if fits {
		return id
	}

	sum := sha256.Sum256([]byte(id))
	return "h-" + hex.EncodeToString(sum[:])
}

// SampleKey is the key of the job's sample: the SHA-256 of a file, or "u-" and the SHA-256 of a
// link's text. It is "" while the SHA-256 of a file is not known.
func SampleKey(j Job) string {
	if j.Kind == KindURL {
		return LinkKey(j.URL)
	}

	return j.SHA256
}

// LinkKey returns the SampleKey of a link.
func LinkKey(url string) string {
	sum := sha256.Sum256([]byte(url))

	return LinkKeyOf(hex.EncodeToString(sum[:]))
}

// LinkKeyOf returns the SampleKey of a link whose text has this SHA-256.
func LinkKeyOf(sha256 string) string { return linkPrefix + sha256 }

// CutLink returns the SHA-256 in a sample's key. If link is true, it is the SHA-256 of a link's
// text, otherwise that of a file's contents.
func CutLink(sampleKey string) (sha256 string, link bool) {
	return strings.CutPrefix(sampleKey, linkPrefix)
}

const linkPrefix = "u-"

// IsLink reports whether the key is that of a link.
func IsLink(sampleKey string) bool { return strings.HasPrefix(sampleKey, linkPrefix) }
