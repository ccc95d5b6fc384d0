package gateway

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// Errors that a caller may want to handle. All other errors are faults of the file or of the
// connection.
var (
	// ErrInvalid means that the job itself is wrong, such as a missing file name. Do not repeat it.
	ErrInvalid = pipeline.ErrInvalidJob

	// ErrTooLarge means that a reader has more bytes than its limit. Do not repeat it.
	ErrTooLarge = queue.ErrTooLarge

	// ErrOtherContents means that the ID was already used for other contents. Do not repeat it. See
	// Job.ID.
	ErrOtherContents = queue.ErrOtherContents

	// ErrFull means that the queue, or its bucket of contents, is full and nothing was accepted.
	// Try again later.
	ErrFull = pipeline.ErrFull

	// ErrUnavailable means that there is no Backburn queue, or that it did not answer by the
	// deadline of the context. In the second case the job may have been accepted. Try again later.
	ErrUnavailable = errors.New("the queue is not available")
)

// Priority decides which jobs are processed first.
type Priority = pipeline.Priority

// The priorities.
const (
	Urgent Priority = pipeline.Urgent
	Normal Priority = pipeline.Normal
	Bulk   Priority = pipeline.Bulk
)

// Config says whose jobs a Gateway submits.
type Config struct {
	Source string // 1 to 32 of a-z 0-9 _ -; required
	Prefix string // nats.prefix of the installation; defaults to "backburn"
}

// Job describes one file or link. All fields are optional, except Filename for a reader.
type Job struct {
	// ID is the job's name within its source. Submitting the same contents again with the same ID
	// starts no second job, unless both calls run at the same time. Other contents with the same ID
	// are ErrOtherContents, or are accepted and become a dead letter (results.Conflict). If ID is
	// empty, a random one is used: then a call that is repeated after an error may submit a second
	// job.
	ID string

	Priority Priority // defaults to Normal

	// Filename is the base name of the file. WildFire recognizes scripts by its extension.
	Filename string

	Path       string            // where the file was found, copied into events
	ReceivedAt time.Time         // when the file or link was received; defaults to now
	Metadata   map[string]string // copied into events; at most 32 pairs and 8 KiB
}

// Receipt describes a job that was accepted.
type Receipt struct {
	JobID  string
	SHA256 string // 64 lower-case hexadecimal digits; "" for a link
	Size   int64  // of the contents, in bytes
}

// Gateway submits the jobs of one source. It is safe for concurrent use.
type Gateway struct {
	publisher *queue.Publisher
	source    string
}

// New returns a Gateway for a running installation. A gateway that has its own NATS account creates
// js with jetstream.NewWithAPIPrefix(nc, "backburn.api"). New returns ErrUnavailable if there is no
// queue with the prefix, or it does not answer. The caller keeps ownership of the connection.
func New(ctx context.Context, js jetstream.JetStream, cfg Config) (*Gateway, error) {
	if !pipeline.ValidSource(cfg.Source) {
		return nil, pipeline.Invalid("the source %q is not %s", cfg.Source, pipeline.SourceRule)
	}

	publisher, err := queue.AttachPublisher(ctx, js, cmp.Or(cfg.Prefix, "backburn"))
	if err != nil {
		return nil, marked(err)
	}

	return &Gateway{publisher: publisher, source: cfg.Source}, nil
}

// SubmitFile submits the file at path. Its base name is used if j has no Filename.
func (g *Gateway) SubmitFile(ctx context.Context, j Job, path string) (Receipt, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return Receipt{}, err
	case !info.Mode().IsRegular():
		return Receipt{}, pipeline.Invalid("%s is not a regular file", path)
	}

	j.Filename = cmp.Or(j.Filename, filepath.Base(path))
	content := queue.FromFile(info.Size(), func() (io.ReadCloser, error) { return os.Open(path) })

	return g.submit(ctx, g.newJob(j), content)
}

// SubmitReader submits what r returns until io.EOF. It returns ErrTooLarge if that is more than
// limit bytes. j must have a Filename.
func (g *Gateway) SubmitReader(ctx context.Context, j Job, r io.Reader, limit int64) (Receipt, error) {
	return g.submit(ctx, g.newJob(j), queue.FromReader(r, limit))
}

// SubmitLink submits a link, http or https, for WildFire to visit.
func (g *Gateway) SubmitLink(ctx context.Context, j Job, url string) (Receipt, error) {
	job := g.newJob(j)
	job.URL = url

	return g.submit(ctx, job, queue.Input{})
}

// newJob returns the job in the form of the queue, with the gateway's source and the defaults.
func (g *Gateway) newJob(j Job) pipeline.Job {
	job := pipeline.Job{
		ID:         cmp.Or(j.ID, rand.Text()),
		Source:     g.source,
		Priority:   cmp.Or(j.Priority, Normal),
		Metadata:   j.Metadata,
		ReceivedAt: j.ReceivedAt,
	}
	job.Filename, job.FilenameB64 = pipeline.EncodeName(j.Filename)
	job.Path, job.PathB64 = pipeline.EncodeName(j.Path)
	if job.ReceivedAt.IsZero() {
		job.ReceivedAt = time.Now().UTC()
	}

	return job
}

// submit publishes a job and its contents.
func (g *Gateway) submit(ctx context.Context, j pipeline.Job, c queue.Input) (Receipt, error) {
	r, err := g.publisher.Submit(ctx, j, c)
	if err != nil {
		return Receipt{}, marked(err)
	}

	return Receipt{JobID: j.ID, SHA256: r.SHA256, Size: r.Size}, nil
}

// marked adds the sentinel of this package to an error that does not match one yet.
func marked(err error) error {
	if errors.Is(err, queue.ErrNoQueue) || errors.Is(err, queue.ErrUnavailable) || jets.Is(err, jets.Unavailable) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}

	return err
}
