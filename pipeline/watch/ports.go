package watch

import (
	"context"
	"io"

	"backburn/pipeline"
	"backburn/results"
)

// Intake accepts jobs.
type Intake interface {
	// Publish returns nil once the job is durable. It is called from many goroutines at once. It is
	// called again with the same job.ID until it returns nil, also after restarts, so a repeat must
	// be harmless. An error that matches pipeline.ErrFull is reported as a full queue.
	Publish(ctx context.Context, job pipeline.Job) error
}

// Outcomes delivers the final events of jobs.
type Outcomes interface {
	// Follow passes the final events of a source to handle, each at least once, until ctx ends.
	// Progress is tracked by folderID, so that an empty mount point does not consume the events of
	// the disk normally mounted there. An event is finished when handle returns nil; after an error
	// it is delivered again later. Follow may call handle from several goroutines, and returns only
	// when all these calls have returned.
	Follow(ctx context.Context, source, folderID string, handle func(ctx context.Context, e results.Event) error) error
}

// Catalog knows which jobs the queue has.
type Catalog interface {
	// Unknown returns which of the given jobs of a source the queue does not have: they are neither
	// queued nor in progress, and have no final event. If it is not certain about a job, it must
	// not return it. A job that it returns is published again. Publish may reject the job as a
	// duplicate until the deduplication of its ID has expired, and must accept it as new after
	// that.
	Unknown(ctx context.Context, source string, ids []string) ([]string, error)
}

// Objects stores contents with Transfer = "object".
type Objects interface {
	// Put stores size bytes under name, replacing any previous object, and returns nil once they
	// are durable. It may call open several times, and closes what open returns. It stores nothing
	// if reading fails or yields another number of bytes.
	Put(ctx context.Context, name string, size int64, open func() (io.ReadCloser, error)) error
	// Delete removes an object. It returns nil if there is none.
	Delete(ctx context.Context, name string) error
	// List returns the objects whose names begin with prefix. The maintainer uses it to remove
	// objects left by a crash.
	List(ctx context.Context, prefix string) ([]pipeline.ObjectInfo, error)
}
