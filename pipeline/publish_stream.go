package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go/jetstream"
)

// Stored is what became of a stream that was handed in.
type Stored struct {
	Size   int64  // in bytes
	SHA256 string // 64 lower-case hexadecimal digits

	before uint64 // where in JOBS a job of this id was put before; 0: as far as the server knows this is the first
}

// was notes what the server says of a job that it took.
func (s *Stored) was(ack *jetstream.PubAck) {
	if ack != nil && ack.Duplicate {
		s.before = ack.Sequence
	}
}

// ErrTooLarge says that a stream is longer than it may be.
var ErrTooLarge = errors.New("larger than is allowed")

// ErrOtherContents says that a job of this id was handed in with other contents.
var ErrOtherContents = errContentChanged

// PublishStream hands in contents that can be read once and whose size is not known before, such
// as the body of a request. It returns once they and the job are durable. What fits a message is
// held in memory, and no more of the rest than one chunk. At most limit bytes are taken: more is
// ErrTooLarge, and nothing was accepted. ID, Source, Priority and Filename are the caller's, as
// with PublishFile, and so are the rules about repeats: a repeat with other contents is
// ErrOtherContents as long as the first ones are there.
func (p *Publisher) PublishStream(ctx context.Context, j Job, limit int64, r io.Reader) (Stored, error) {
	room := max(0, min(limit, p.q.nc.MaxPayload()-rawHeadroom))
	head := new(bytes.Buffer)
	n, err := io.Copy(head, io.LimitReader(r, room+1))
	if err != nil {
		return Stored{}, fmt.Errorf("publish stream %s: %w", j.ID, err)
	}
	if n > limit {
		return Stored{}, fmt.Errorf("publish stream %s: %w: more than %d bytes", j.ID, ErrTooLarge, limit)
	}
	if n <= room {
		sum := sha256.Sum256(head.Bytes())
		done := Stored{Size: n, SHA256: hex.EncodeToString(sum[:])}
		ack, err := p.publishFile(ctx, j, n, func() (io.ReadCloser, error) { return io.NopCloser(head), nil })
		done.was(ack)
		return done, err
	}
	return p.publishStream(ctx, j, limit, io.MultiReader(head, r))
}

// PublishLink hands in a link, and returns once the job is durable. ID, Source, Priority and URL are
// the caller's; what was stored says nothing of contents.
func (p *Publisher) PublishLink(ctx context.Context, j Job) (Stored, error) {
	j.Version, j.Kind = 1, KindURL
	if j.ID == "" || !ValidURL(j.URL) || !ValidSource(j.Source) || !j.Priority.Valid() {
		return Stored{}, fmt.Errorf("publish link: id %q, link, source %q and priority %q are required", j.ID, j.Source, j.Priority)
	}
	var s Stored
	ack, err := p.publishJob(ctx, j)
	s.was(ack)
	return s, err
}

// publishStream is publishObject for a stream.
func (p *Publisher) publishStream(ctx context.Context, j Job, limit int64, r io.Reader) (Stored, error) {
	if err := addressed(j); err != nil {
		return Stored{}, fmt.Errorf("publish stream: %w", err)
	}
	name := "job." + jobKey(j.ID)
	h := sha256.New()
	counted := &counter{r: io.TeeReader(io.LimitReader(r, limit+1), h)}
	info, err := p.q.files.GetInfo(ctx, name)
	fresh := errors.Is(err, jetstream.ErrObjectNotFound)
	switch {
	case fresh:
		_, err = p.q.Objects().put(ctx, name, counted)
	case err == nil:
		_, err = io.Copy(io.Discard, counted) // a worker may be reading what is there
	}
	done := Stored{Size: counted.n, SHA256: hex.EncodeToString(h.Sum(nil))}
	if counted.n > limit {
		if fresh {
			_ = p.q.Objects().Delete(context.WithoutCancel(ctx), name)
		}
		if err == nil {
			err = fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
		}
	}
	if err == nil && !fresh && !holds(info, done.SHA256) {
		err = errChangedSince
	}
	if err == nil {
		j.Version, j.Kind, j.Size, j.SHA256 = 1, KindFile, done.Size, done.SHA256
		var ack *jetstream.PubAck
		ack, err = p.publishStored(ctx, j, name, fresh)
		done.was(ack)
	}
	if err != nil {
		return Stored{}, fmt.Errorf("publish stream %s: %w", j.ID, err)
	}
	return done, nil
}

// counter counts what is read.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
