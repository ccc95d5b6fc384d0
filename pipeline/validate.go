package pipeline

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Limits of a job's text, in bytes unless noted otherwise.
const (
	MaxMetadataPairs = 32 // pairs
	MaxMetadataBytes = 8 << 10
	MaxNameBytes     = 4096 // of each name or path; CleanName returns shorter names
	MaxURLBytes      = 8 << 10
	MaxObjectBytes   = 1 << 10 // of an object's name: it becomes part of a subject
	MaxIDBytes       = 1 << 10
)

// ErrInvalidJob is matched by every error that says why a message is not a valid job.
var ErrInvalidJob = errors.New("invalid job")

// Invalid returns an error that matches ErrInvalidJob.
func Invalid(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidJob, fmt.Sprintf(format, a...))
}

// Check returns an error if the job is invalid. It converts the SHA-256 to lower case.
func (j *Job) Check() error {
	if j.Version != 1 {
		return Invalid("version %d, expected version 1", j.Version)
	}
	if err := j.CheckText(); err != nil {
		return err
	}

	switch j.Kind {
	case KindURL:
		return j.checkLink()
	case KindFile:
		return j.checkFile()
	}

	return Invalid(`kind is %q, expected "file" or "url"`, j.Kind)
}

// CheckText returns an error if a name, the metadata, the time, Submit or its reason is invalid.
func (j *Job) CheckText() error {
	if max(len(j.Filename), len(j.FilenameB64), len(j.Path), len(j.PathB64)) > MaxNameBytes {
		return Invalid("a name of more than %d bytes", MaxNameBytes)
	}

	total := 0
	for k, v := range j.Metadata {
		total += len(k) + len(v)
	}
	if len(j.Metadata) > MaxMetadataPairs || total > MaxMetadataBytes {
		return Invalid("metadata of %d pairs and %d bytes; at most %d and %d",
			len(j.Metadata), total, MaxMetadataPairs, MaxMetadataBytes)
	}
	if !ValidTime(j.ReceivedAt) {
		return Invalid("received_at is in the year %d (UTC), expected 1 to 9999", j.ReceivedAt.UTC().Year())
	}
	if j.Submit != "" && !slices.Contains(Submits(), j.Submit) {
		return Invalid(`submit is %q, expected "always", "lookup" or "never"`, j.Submit)
	}
	if len(j.SubmitReason) > MaxSubmitReason {
		return Invalid("submit_reason of %d bytes; at most %d", len(j.SubmitReason), MaxSubmitReason)
	}

	return nil
}

// ValidTime reports whether an event can contain the time: RFC 3339 has four digits for the year,
// and many readers refuse the year 0.
func ValidTime(t time.Time) bool { return t.UTC().Year() >= 1 && t.UTC().Year() <= 9999 }

// checkLink returns an error if a link job is invalid. A link job must not have Content.
func (j *Job) checkLink() error {
	if j.Content != nil {
		return Invalid("a url job must not have content")
	}
	if !ValidURL(j.URL) {
		return Invalid("url must be an http or https URL of at most %d bytes", MaxURLBytes)
	}

	return nil
}

// ValidURL reports whether s can be the link of a job: http or https, with a host, at most 8 KiB.
func ValidURL(s string) bool {
	u, err := url.Parse(s)

	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && len(s) <= MaxURLBytes
}

// checkFile returns an error if a file job is invalid. A file job must not have a URL.
func (j *Job) checkFile() error {
	switch {
	case j.URL != "":
		return Invalid("a file job must not have a url")
	case j.Filename == "":
		return Invalid("filename is required")
	case j.Size < 0:
		return Invalid("size is %d, expected 0 or more", j.Size)
	}

	if j.SHA256 = strings.ToLower(j.SHA256); j.SHA256 != "" && !ValidSHA256(j.SHA256) {
		return Invalid("sha256 must be 64 hexadecimal digits")
	}

	return j.Content.check()
}

// ValidSHA256 reports whether s is 64 lower-case hexadecimal digits.
func ValidSHA256(s string) bool {
	b, err := hex.DecodeString(s)

	return err == nil && len(b) == sha256.Size && s == strings.ToLower(s)
}

func (c *Content) check() error {
	switch {
	case c == nil:
		return Invalid("content is required")
	case c.Object != "" && (c.Path != "" || c.PathB64 != nil), c.Object == "" && c.Path == "" && c.PathB64 == nil:
		return Invalid("content must be either an object or a path")
	case len(c.Object) > MaxObjectBytes:
		return Invalid("content.object of more than %d bytes", MaxObjectBytes)
	case c.Object != "":
		return nil
	}

	return CheckRelative(c.Name())
}

// drive matches the beginning of an absolute name on Windows, such as C:\ or C:/. A colon without a
// slash after it is allowed, because it is an ordinary character on other systems.
var drive = regexp.MustCompile(`^[A-Za-z]:[/\\]`)

// CheckRelative refuses a slash-separated name whose spelling could lead out of the root. Symbolic
// links, and backslashes on Windows, are checked when the file is opened.
func CheckRelative(name string) error {
	switch {
	case strings.ContainsRune(name, 0), len(name) > MaxNameBytes:
		return Invalid("content.path contains a NUL byte or is longer than %d bytes", MaxNameBytes)
	case strings.HasPrefix(name, "/"), strings.HasPrefix(name, `\`), drive.MatchString(name):
		return Invalid("content.path must be relative to the source's root")
	case name == ".", path.Clean(name) != name, name == "..", strings.HasPrefix(name, "../"):
		return Invalid("content.path must be a plain relative name, without . or ..")
	}

	return nil
}

// Bare reduces an invalid job to what its failure event may contain: the ID, the source and the
// priority, and the time and the file name if they are valid.
func (j Job) Bare() Job {
	bare := Job{ID: j.ID, Source: j.Source, Priority: j.Priority}
	if ValidTime(j.ReceivedAt) {
		bare.ReceivedAt = j.ReceivedAt
	}
	if max(len(j.Filename), len(j.FilenameB64)) <= MaxNameBytes {
		bare.Filename = j.Filename
		bare.FilenameB64 = j.FilenameB64
	}

	return bare
}

// SpoolDir is the folder for the watcher's own files, inside the watched folder.
const SpoolDir = ".backburn"

// ClaimedDir is the folder for claimed files, inside the watched folder. A claimed file is named
// <job id>-<name>.
const ClaimedDir = SpoolDir + "/claimed"

// FromSpool reports whether the job's contents are the file that a watcher claimed for it. The
// file's name contains the job ID, so the watcher's hash and size belong to this file.
func (j Job) FromSpool() bool {
	return j.Content != nil && j.Content.Object == "" && j.SHA256 != "" &&
		strings.HasPrefix(j.Content.Name(), ClaimedDir+"/"+j.ID+"-")
}
