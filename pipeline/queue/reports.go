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
	"backburn/results"
)

// Reports are WildFire's documents about samples, unchanged.
type Reports struct{ objects *Objects }

// ErrNoReports says that this queue keeps no documents.
var ErrNoReports = errors.New("no reports are kept here")

// Reports returns the document store. It returns ErrNoReports if there is no bucket for it.
func (q *Queue) Reports(ctx context.Context) (*Reports, error) {
	store, err := q.js.ObjectStore(ctx, q.ReportsBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("%w: there is no bucket %s", ErrNoReports, q.ReportsBucket())
	}
	if err != nil {
		return nil, fmt.Errorf("object bucket %s: %w", q.ReportsBucket(), err)
	}

	return &Reports{&Objects{q: q, store: store}}, nil
}

// reportName is the name of a document about a sample, such as "<sha256>.xml".
func reportName(sha256, document string) string { return sha256 + "." + document }

// Find returns a document about a sample. Errors match pipeline.ErrContentMissing if it is not
// kept.
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
	if most := r.objects.q.topology.ReportsMaxBytes / 2; most > 0 && int64(len(body)) > most {
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

// makeRoom removes the oldest documents, somewhat more than the given number of bytes, so that not
// every new document has to. It returns how many it removed.
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
	stream, err := r.objects.q.js.Stream(ctx, jets.ObjectStream+r.objects.q.ReportsBucket())
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

// PublishReport publishes a report event, unless it was published before.
func (q *Queue) PublishReport(ctx context.Context, ev results.Event) error {
	if time.Since(ev.Time) > q.topology.dedupe()/2 {
		there, err := q.published(ctx, ev)
		if there || err != nil {
			return err
		}
	}

	return q.PublishEvent(ctx, ev)
}

// OweReport records that a source still has to get the report about a sample, if the report was
// published before the source had a job with that sample.
func (q *Queue) OweReport(ctx context.Context, key, source string, cfg pipeline.Config, now time.Time) error {
	_, err := q.ledger.ChangeSample(ctx, key, func(s *pipeline.Sample) bool { return cfg.OweReport(s, source, now) })

	return err
}

// MaxReport returns how many bytes of JSON a report in an event may have, given the server's
// message limit.
func (q *Queue) MaxReport() int { return int(q.nc.MaxPayload()) / 2 }
