package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// What can be wrong with a job's contents.
var (
	errContentMissing   = errors.New("the contents are not there")
	errContentForbidden = errors.New("the contents are out of reach")
	errContentChanged   = errors.New("the contents changed after they were handed in")
	errRootAway         = errors.New("the source's folder is not there")
	errUnreadable       = errors.New("the contents can't be read")
)

// objectRead bounds the reading of one object: without a deadline of its own the client
// cuts it off after five seconds.
const objectRead = 10 * time.Minute

// objectStall ends a read that gets nothing: the chunks of an object that is removed or
// replaced meanwhile never come. It is below the upload's own limit (wildfire.stall_timeout),
// since the client can't be interrupted while it waits for a chunk.
const objectStall = 10 * time.Second

// stallContext has a deadline that is always the same while away. The client takes the
// deadline of its context anew for every read.
type stallContext struct{ context.Context }

func (stallContext) Deadline() (time.Time, bool) { return time.Now().Add(objectStall), true }

// contents is a job's bytes: their size, and a way to read them from the start as often
// as it takes.
type contents struct {
	size int64
	open func() (io.ReadCloser, error)
}

// contents finds a file job's bytes, wherever they are.
func (w *Worker) contents(ctx context.Context, e *envelope) (contents, error) {
	switch c := e.Job.Content; {
	case e.raw:
		return contents{int64(len(e.body)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(e.body)), nil }}, nil
	case c.Object != "":
		return w.q.object(ctx, c.Object)
	default:
		return w.file(e.Job.Source, c.name())
	}
}

// file opens a name beneath the source's root.
func (w *Worker) file(source, name string) (contents, error) {
	root, ok := w.cfg.Roots[source]
	if !ok {
		return contents{}, fmt.Errorf("%w: no folder is configured for source %q (worker.roots, or a [[watch]] of that source)", errContentForbidden, source)
	}
	open := func() (*os.File, error) {
		f, err := openBeneath(root, filepath.FromSlash(name))
		if errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errRootAway) {
			if _, err := os.Stat(rootOf(root, name)); err != nil {
				return nil, fmt.Errorf("%w: %w", errRootAway, err)
			}
			return nil, fmt.Errorf("%w: %s", errContentMissing, name)
		}
		return f, err
	}
	f, err := open()
	if err != nil {
		return contents{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return contents{}, err
	}
	if !st.Mode().IsRegular() {
		return contents{}, fmt.Errorf("%w: %s is not a regular file", errContentForbidden, name)
	}
	return contents{st.Size(), func() (io.ReadCloser, error) { return open() }}, nil
}

// SpoolDir is a watcher's own folder, below the one that it watches.
const SpoolDir = ".backburn"

// rootOf is what has to be there for a source's folder to be there, and not the empty place where
// it is mounted at other times: a watcher's own folder in it always is.
func rootOf(root, name string) string {
	if strings.HasPrefix(name, SpoolDir+"/") {
		return filepath.Join(root, SpoolDir)
	}
	return root
}

// object finds an object in the files bucket.
func (q *Queue) object(ctx context.Context, name string) (contents, error) {
	info, err := q.files.GetInfo(ctx, name)
	if errors.Is(err, jetstream.ErrObjectNotFound) {
		return contents{}, fmt.Errorf("%w: object %q", errContentMissing, name)
	}
	if errors.Is(err, jetstream.ErrBadObjectMeta) {
		return contents{}, fmt.Errorf("%w: object %q: %w", errUnreadable, name, err)
	}
	if err != nil {
		return contents{}, fmt.Errorf("object %q: %w", name, err)
	}
	if info.Opts != nil && info.Opts.Link != nil { // to another bucket, perhaps, that its publisher can't read
		return contents{}, fmt.Errorf("%w: object %q is a link", errContentForbidden, name)
	}
	return contents{int64(info.Size), func() (io.ReadCloser, error) { //nolint:gosec // sizes are far below 2^63
		rctx, cancel := context.WithTimeout(ctx, objectRead)
		r, err := q.files.Get(stallContext{rctx}, name)
		if err != nil {
			cancel()
			if errors.Is(err, jetstream.ErrObjectNotFound) {
				err = fmt.Errorf("%w: object %q", errContentMissing, name)
			}
			return nil, err
		}
		return &objectReader{r, cancel}, nil
	}}, nil
}

type objectReader struct {
	jetstream.ObjectResult
	cancel context.CancelFunc
}

func (r *objectReader) Close() error {
	defer r.cancel()
	return r.ObjectResult.Close()
}

// dropObject removes contents that have their verdict. An object that stays is removed
// by the bucket's own age.
func (q *Queue) dropObject(ctx context.Context, name string) {
	if err := q.files.Delete(ctx, name); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		q.dropFailures.Add(1)
	}
}

// digest reads the contents once for a job whose publisher did not say what they are.
func (c contents) digest(ctx context.Context) (string, int64, error) {
	r, err := c.open()
	if err != nil {
		return "", 0, err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, readerWithContext{ctx, r})
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	return hex.EncodeToString(h.Sum(nil)), n, nil
}

type readerWithContext struct {
	ctx context.Context
	r   io.Reader
}

func (r readerWithContext) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
