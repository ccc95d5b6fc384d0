package queue

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/jets"
	"backburn/pipeline"
)

// Reports are WildFire's documents about samples, unchanged.
type Reports struct {
	objects *Objects
	streams *Streams
}

// ErrNoReports says that this queue keeps no documents.
var ErrNoReports = errors.New("no reports are kept here")

// Reports returns the document store. It returns ErrNoReports if there is no bucket for it.
func (s *Streams) Reports(ctx context.Context) (*Reports, error) {
	store, err := s.js.ObjectStore(ctx, s.ReportsBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("%w: there is no bucket %s", ErrNoReports, s.ReportsBucket())
	}
	if err != nil {
		return nil, fmt.Errorf("object bucket %s: %w", s.ReportsBucket(), err)
	}

	return &Reports{objects: &Objects{nc: s.js.Conn(), store: store}, streams: s}, nil
}

// reportName is the name of a document about a sample, such as "<sha256>.xml".
func reportName(sha256, document string) string { return sha256 + "." + document }

// Find returns a document about a sample. Its error matches pipeline.ErrContentMissing if there is
// no such document.
func (r *Reports) Find(ctx context.Context, sha256, document string) (Contents, error) {
	return r.objects.Find(ctx, reportName(sha256, document))
}

// Read returns the whole of a document, and when it was stored.
func (r *Reports) Read(ctx context.Context, sha256, document string) ([]byte, time.Time, error) {
	c, err := r.Find(ctx, sha256, document)
	if err != nil {
		return nil, time.Time{}, err
	}
	f, err := c.Open()
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()

	body, err := io.ReadAll(io.LimitReader(f, c.Size))
	if err == nil && int64(len(body)) != c.Size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("%w: object %q: %w", pipeline.ErrUnreadable, reportName(sha256, document), err)
	}

	return body, c.StoredAt, nil
}

// Put stores a document about a sample. If there is no room, it removes the oldest documents.
func (r *Reports) Put(ctx context.Context, sha256, document string, body []byte) error {
	if most := r.streams.topology.ReportsMaxBytes / 2; most > 0 && int64(len(body)) > most {
		return fmt.Errorf("object %q: %d bytes, and the bucket allows %d for one document", reportName(sha256, document), len(body), most)
	}

	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	for {
		err := r.objects.Put(ctx, reportName(sha256, document), int64(len(body)), open)
		if !jets.Is(err, jets.Full) {
			return err
		}
		if removed, rerr := r.makeRoom(ctx, int64(len(body))); rerr != nil || removed == 0 {
			return errors.Join(err, rerr)
		}
	}
}

// makeRoom removes the oldest documents: at least size bytes, and usually more, so that the next
// documents fit as well. It returns how many it removed.
func (r *Reports) makeRoom(ctx context.Context, size int64) (int, error) {
	all, err := r.objects.store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("list reports: %w", err)
	}

	var total int64
	for _, o := range all {
		total += int64(o.Size)
	}
	want := max(size, total/16)

	slices.SortFunc(all, func(a, b *jetstream.ObjectInfo) int {
		return cmp.Or(a.ModTime.Compare(b.ModTime), cmp.Compare(a.Name, b.Name))
	})
	stream, err := r.streams.js.Stream(ctx, jets.ObjectStream+r.streams.ReportsBucket())
	if err != nil {
		return 0, fmt.Errorf("list reports: %w", err)
	}
	removed := 0
	for _, o := range all {
		if want <= 0 {
			break
		}
		if err := purge(ctx, stream, o); err != nil {
			return removed, fmt.Errorf("remove report %q: %w", o.Name, err)
		}
		want -= int64(o.Size)
		removed++
	}

	return removed, nil
}

// purge removes an object from the stream behind its bucket. A full bucket has no room for the
// marker that Delete writes.
func purge(ctx context.Context, stream jetstream.Stream, o *jetstream.ObjectInfo) error {
	name := base64.URLEncoding.EncodeToString([]byte(o.Name))
	if err := stream.Purge(ctx, jetstream.WithPurgeSubject(jets.ObjectMeta(o.Bucket, name))); err != nil {
		return err
	}

	return stream.Purge(ctx, jetstream.WithPurgeSubject(jets.ObjectChunks(o.Bucket, o.NUID)))
}
