package pipeline

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Objects is where contents travel through JetStream, for watchers and gateways whose
// files the workers can't reach. The server checks nothing; the client checks the
// SHA-256 of every object that it reads.
type Objects struct{ q *Queue }

// Objects returns the queue's object bucket.
func (q *Queue) Objects() *Objects { return &Objects{q: q} }

// objectChunk must stay below the server's max_payload of 1 MiB. Larger chunks mean fewer
// durable writes.
const objectChunk = 512 << 10

// ObjectInfo is an object in the bucket.
type ObjectInfo struct {
	Name    string
	ModTime time.Time // when it was stored
}

// Put stores size bytes under a name, replacing what was there, and returns once they
// are durable. Contents of another size are an error, and nothing stays.
func (o *Objects) Put(ctx context.Context, name string, size int64, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return fmt.Errorf("object %q: %w", name, err)
	}
	defer r.Close()
	info, err := o.put(ctx, name, io.LimitReader(r, size+1))
	if err == nil && int64(info.Size) != size { //nolint:gosec // limited to size+1
		err = fmt.Errorf("%w: not the %d bytes that were promised", errContentChanged, size)
		_ = o.Delete(context.WithoutCancel(ctx), name)
	}
	if err != nil {
		return fmt.Errorf("object %q: %w", name, err)
	}
	return nil
}

// put stores what r gives under a name.
func (o *Objects) put(ctx context.Context, name string, r io.Reader) (*jetstream.ObjectInfo, error) {
	return o.q.files.Put(ctx, jetstream.ObjectMeta{
		Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: objectChunk},
	}, wholeChunks{r})
}

// holds reports whether an object's contents have a SHA-256.
func holds(info *jetstream.ObjectInfo, sha256 string) bool {
	digest, err := jetstream.DecodeObjectDigest(info.Digest)
	return err == nil && hex.EncodeToString(digest) == sha256
}

// wholeChunks fills every Read, since the client makes one chunk, and so one durable
// write, of each.
type wholeChunks struct{ r io.Reader }

func (w wholeChunks) Read(p []byte) (int, error) {
	n, err := io.ReadFull(w.r, p)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = nil
	}
	return n, err
}

// Delete removes an object. It returns nil where there is none.
func (o *Objects) Delete(ctx context.Context, name string) error {
	err := o.q.files.Delete(ctx, name)
	if err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
		return fmt.Errorf("delete object %q: %w", name, err)
	}
	return nil
}

// List returns the objects whose names begin with a prefix.
func (o *Objects) List(ctx context.Context, prefix string) ([]ObjectInfo, error) {
	all, err := o.q.files.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list objects: %w", err)
	}
	var out []ObjectInfo
	for _, i := range all {
		if strings.HasPrefix(i.Name, prefix) {
			out = append(out, ObjectInfo{i.Name, i.ModTime})
		}
	}
	return out, nil
}
