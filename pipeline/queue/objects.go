package queue

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline"
)

// Objects keeps contents in JetStream, for watchers and gateways whose files the workers cannot
// reach. The server does not verify objects; the client checks the SHA-256 of every object that it
// reads.
type Objects struct {
	nc    *nats.Conn
	store jetstream.ObjectStore
}

// Contents is a job's bytes: their size, and a way to read them from the start any number of times.
type Contents struct {
	Size     int64 // in bytes
	Open     func() (io.ReadCloser, error)
	StoredAt time.Time // when the server stored the object; zero for other contents
}

// objectName is the name of the object with a job's contents. Neither the source nor the key has a
// dot, so no two jobs have the same name.
func objectName(r pipeline.Ref) string { return "job." + r.Source + "." + pipeline.JobKey(r.ID) }

const (
	// Larger chunks mean fewer durable writes.
	largestChunk = 512 << 10

	// Overhead of a chunk's message, in bytes.
	chunkHeadroom = 1 << 10
)

// objectReadTimeout bounds the reading of one object. Without a deadline in its context, the client
// would stop reading after five seconds.
const objectReadTimeout = 10 * time.Minute

// objectStallTimeout ends a read without progress: if an object is removed or replaced meanwhile,
// its chunks never arrive. It is below the upload's own limit (wildfire.stall_timeout), because the
// client cannot be interrupted while it waits for a chunk.
const objectStallTimeout = 10 * time.Second

// stallContext has a deadline that is always the same time ahead. The client asks its context for
// the deadline again for every read.
type stallContext struct{ context.Context } //nolint:containedctx // it is one

func (stallContext) Deadline() (time.Time, bool) { return time.Now().Add(objectStallTimeout), true }

// Find returns an object's contents. Errors match pipeline.ErrContentMissing if there is no object,
// pipeline.ErrOutside for a link to another object, and pipeline.ErrUnreadable for a damaged one.
// The contents can be read until ctx ends.
func (o *Objects) Find(ctx context.Context, name string) (Contents, error) {
	info, err := o.store.GetInfo(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrObjectNotFound):
		return Contents{}, fmt.Errorf("%w: object %q", pipeline.ErrContentMissing, name)
	case errors.Is(err, jetstream.ErrBadObjectMeta):
		return Contents{}, fmt.Errorf("%w: object %q: %w", pipeline.ErrUnreadable, name, err)
	case err != nil:
		return Contents{}, fmt.Errorf("object %q: %w", name, err)
	}

	if info.Opts != nil && info.Opts.Link != nil { // it may lead to a bucket that its publisher cannot read
		return Contents{}, fmt.Errorf("%w: object %q is a link", pipeline.ErrOutside, name)
	}

	return Contents{
		Size:     int64(info.Size),
		Open:     func() (io.ReadCloser, error) { return o.open(ctx, name) },
		StoredAt: info.ModTime,
	}, nil
}

func (o *Objects) open(ctx context.Context, name string) (io.ReadCloser, error) {
	rctx, cancel := context.WithTimeout(ctx, objectReadTimeout)

	r, err := o.store.Get(stallContext{rctx}, name)
	if err != nil {
		cancel()
		if errors.Is(err, jetstream.ErrObjectNotFound) {
			err = fmt.Errorf("%w: object %q", pipeline.ErrContentMissing, name)
		}
		return nil, err
	}

	return &objectReader{r, cancel}, nil
}

type objectReader struct {
	jetstream.ObjectResult
	cancel context.CancelFunc
}

func (r *objectReader) Close() error {
	defer r.cancel()

	return r.ObjectResult.Close()
}

// Put stores size bytes under a name, replacing what was there, and returns once they are durable.
// Contents of another size are an error, and nothing is kept. If the bucket has no room, the error
// matches pipeline.ErrFull.
func (o *Objects) Put(ctx context.Context, name string, size int64, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return fmt.Errorf("object %q: %w", name, err)
	}
	defer r.Close()

	info, err := o.put(ctx, name, io.LimitReader(r, size+1))
	if err == nil && int64(info.Size) != size {
		err = fmt.Errorf("%w: expected %d bytes", pipeline.ErrContentChanged, size)
		_ = o.Delete(context.WithoutCancel(ctx), name)
	}
	if err != nil {
		return fmt.Errorf("object %q: %w", name, err)
	}

	return nil
}

func (o *Objects) put(ctx context.Context, name string, r io.Reader) (*jetstream.ObjectInfo, error) {
	if o.nc.IsClosed() { // otherwise the client leaks a goroutine
		return nil, nats.ErrConnectionClosed
	}

	chunk := min(max(o.nc.MaxPayload()-chunkHeadroom, chunkHeadroom), largestChunk) // below the server's limit

	info, err := o.store.Put(ctx, jetstream.ObjectMeta{
		Name: name,
		Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(chunk)},
	}, fullReader{r})
	if jets.Is(err, jets.Full) {
		err = fmt.Errorf("%w: %w", pipeline.ErrFull, err)
	}

	return info, err
}

// ensure makes sure that an object has the contents with this SHA-256. An existing object that
// differs is incomplete, because a process died while writing it, and is replaced.
func (o *Objects) ensure(ctx context.Context, name, sum string, size int64, open func() (io.ReadCloser, error)) error {
	info, err := o.store.GetInfo(ctx, name)
	if err == nil && hasDigest(info, sum) {
		return nil
	}
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("object %q: %w", name, err)
	}

	return o.Put(ctx, name, size, open)
}

func hasDigest(info *jetstream.ObjectInfo, sha256 string) bool {
	digest, err := jetstream.DecodeObjectDigest(info.Digest)

	return err == nil && hex.EncodeToString(digest) == sha256
}

// fullReader fills the buffer in every Read, because the client makes one chunk, and so one
// durable write, of each Read.
type fullReader struct{ r io.Reader }

func (w fullReader) Read(p []byte) (int, error) {
	n, err := io.ReadFull(w.r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}

	return n, err
}

// Delete removes an object. It returns nil if there is none.
func (o *Objects) Delete(ctx context.Context, name string) error {
	err := o.store.Delete(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("delete object %q: %w", name, err)
	}

	return nil
}

// List returns the objects whose names begin with a prefix.
func (o *Objects) List(ctx context.Context, prefix string) ([]pipeline.ObjectInfo, error) {
	all, err := o.store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}

	var out []pipeline.ObjectInfo
	for _, i := range all {
		if strings.HasPrefix(i.Name, prefix) {
			out = append(out, pipeline.ObjectInfo{Name: i.Name, ModTime: i.ModTime})
		}
	}

	return out, nil
}

// MoveContents moves contents out of a job's message into an object, if the message would otherwise
// have too little room for the job's record. The job then refers to the object.
func (o *Objects) MoveContents(ctx context.Context, m *Message) error {
	if !m.Raw || m.Original != nil {
		return nil
	}
	if fits, err := m.fits(o.nc.MaxPayload()); fits || err != nil {
		return err
	}

	name := "job." + pipeline.JobKey(m.Job.Ref().String()) + "." + m.Job.SHA256
	err := o.ensure(ctx, name, m.Job.SHA256, int64(len(m.Contents)), func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(m.Contents)), nil
	})
	if err != nil {
		return err
	}

	m.Job.Content = &pipeline.Content{Object: name}
	m.Contents = nil
	m.Raw = false

	return nil
}
