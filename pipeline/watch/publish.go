package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path/filepath"
	"time"

	"backburn/internal/backoff"
	"backburn/internal/rootfs"
	"backburn/pipeline"
)

// newJob returns a job with the fields that do not depend on how the file was claimed.
func (f *folder) newJob(id, rel string, st rootfs.State) pipeline.Job {
	job := pipeline.Job{
		ID:       id,
		Source:   f.cfg.Source,
		Priority: f.cfg.Priority,
		Version:  1,
		Kind:     pipeline.KindFile,
		Size:     st.Size,
		Content:  &pipeline.Content{},
	}
	job.Filename, job.FilenameB64 = pipeline.EncodeName(filepath.Base(rel))
	job.Path, job.PathB64 = pipeline.EncodeName(rel)

	return job
}

// storeContents puts a file's contents into the object store if Transfer is "object", and records
// the object in the job. open opens the file at its start.
func (f *folder) storeContents(ctx context.Context, st rootfs.State, job *pipeline.Job, open func() (*rootfs.File, error)) error {
	if f.cfg.Transfer != TransferObject {
		return nil
	}

	name := f.objectName(job.ID)
	job.Content = &pipeline.Content{Object: name}
	if st.Size > f.cfg.MaxFileSize {
		return nil // over the size limit: the job fails without its contents
	}

	err := f.w.objects.Put(ctx, name, st.Size, func() (io.ReadCloser, error) {
		in, err := open()
		if err != nil {
			return nil, err
		}
		return &verifiedReader{
			f:          in,
			ctx:        ctx,
			hash:       sha256.New(),
			remaining:  st.Size,
			wantSHA256: job.SHA256,
		}, nil
	})
	if err != nil {
		return fmt.Errorf("store contents: %w", err)
	}
	f.w.notifyStep("stored")

	return nil
}

// objectName returns the name of a job's contents in the object store. It contains the folder's ID,
// so that the watchers of two folders do not remove each other's objects.
func (f *folder) objectName(id string) string { return f.objectPrefix() + id }

func (f *folder) objectPrefix() string { return f.cfg.Source + "/" + f.id + "/" }

// verifiedReader reads a file and checks its length and hash. If they differ from what was
// expected, it returns an error instead of the last bytes.
type verifiedReader struct {
	f          *rootfs.File
	ctx        context.Context //nolint:containedctx // io.Reader has no context parameter
	hash       hash.Hash
	remaining  int64
	wantSHA256 string
}

func (v *verifiedReader) Read(p []byte) (int, error) {
	if err := v.ctx.Err(); err != nil {
		return 0, err
	}

	n, err := v.f.Read(p)
	v.hash.Write(p[:n])
	if v.remaining -= int64(n); v.remaining < 0 || errors.Is(err, io.EOF) && v.remaining > 0 {
		return 0, errUnsettled
	}
	if v.remaining == 0 && hex.EncodeToString(v.hash.Sum(nil)) != v.wantSHA256 {
		return 0, errUnsettled
	}

	return n, err
}

func (v *verifiedReader) Close() error { return v.f.Close() }

// The first and the longest delay between attempts to publish a job.
const (
	minPublishDelay = 100 * time.Millisecond
	maxPublishDelay = 5 * time.Second
)

// publish publishes a job, retrying until it succeeds. It returns only ctx's error.
func (f *folder) publish(ctx context.Context, job pipeline.Job) error {
	for try := 0; ; try++ {
		attempt, cancel := context.WithTimeout(ctx, f.w.publishWait)
		err := f.w.intake.Publish(attempt, job)
		cancel()
		if err == nil {
			f.w.m.published.Inc()
			f.w.health.set("intake", "")
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}

		f.w.m.retries.Inc()
		if errors.Is(err, pipeline.ErrFull) {
			f.w.health.set("intake", "the queue is full; files wait in the folder until it has room")
		} else {
			f.w.health.set("intake", "jobs cannot be published; files wait in the folder: "+err.Error())
		}
		if err := pipeline.Sleep(ctx, backoff.Delay(try, minPublishDelay, maxPublishDelay)); err != nil {
			return err
		}
	}
}
