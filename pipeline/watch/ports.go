package watch

import (
	"context"
	"io"

	"backburn/pipeline"
	"backburn/results"
)

// Intake takes jobs.
type Intake interface {
	// Publish returns nil once the job is durable. It is called by many goroutines at
	// once, and again with the same job.ID until it has returned nil, also after
	// restarts; a repeat must be harmless. errors.Is(err, pipeline.ErrFull) means: try again later.
	Publish(ctx context.Context, job pipeline.Job) error
}

// Outcomes delivers what became of jobs.
type Outcomes interface {
	// Follow hands the final events of a source to handle, each at least once, from
	// where this watcher left off with the folder of this id, until ctx ends. What was
	// delivered for one folder was not for another: an empty place must not use up the events
	// of the folder that is mounted there at other times. An event is done with when handle
	// returns nil; after an error it is delivered again later. Follow may call handle
	// from several goroutines, and returns only when all these calls have.
	Follow(ctx context.Context, source, folder string, handle func(ctx context.Context, e results.Event) error) error
}

// Catalog knows which jobs the queue has.
type Catalog interface {
	// Unknown returns those of the given jobs of a source that the queue knows nothing of: they
	// are neither queued nor under way, and have no final event. It must not name a job of
	// which it cannot be sure. Publish then takes such a job as a new one, at the latest when
	// what it remembers of its id has expired.
	Unknown(ctx context.Context, source string, ids []string) ([]string, error)
}

// Objects is where contents travel with Transfer = "object".
type Objects interface {
	// Put stores size bytes under name, replacing what was there, and returns nil once
	// they are durable. It calls open at least once and closes what it gets; a retry
	// opens again. Bytes are checked by digest on the way.
	Put(ctx context.Context, name string, size int64, open func() (io.ReadCloser, error)) error
	// Delete removes an object. It returns nil where there is none.
	Delete(ctx context.Context, name string) error
	// List returns the objects whose names begin with prefix, for the janitor that
	// removes what a crash left behind.
	List(ctx context.Context, prefix string) ([]pipeline.ObjectInfo, error)
}
