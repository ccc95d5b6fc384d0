package watch

import (
	"context"
	"fmt"
	"slices"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/spool"
)

// fewFiles is up to how many files are synced one by one. Beyond, one call for the whole
// file system is cheaper.
const fewFiles = 4

// maxSyncPause bounds the pause between two syncs. Each sync holds up everybody who writes to the
// same file system, so under load the next one begins only after a pause as long as the last one
// took. Who asks alone, or after a quiet moment, waits for nothing.
const maxSyncPause = 25 * time.Millisecond

// syncer makes changes durable in groups: whoever asks while a sync is under way shares the
// next one. What was claimed must be durable before its job is published, or a power failure
// could put its file back into the folder, to be claimed under a second id.
type syncer struct {
	root     *rootfs.Root // the watched folder
	spool    *spool.Spool
	requests chan syncRequest
	flushed  func() // called when a group is durable
}

// syncRequest is what has to be durable: a file's contents, then entries of folders in their
// order.
type syncRequest struct {
	f    *rootfs.File // nil for none
	dirs []syncDir
	done chan error
}

// syncDir is a folder with entries that have to be durable.
type syncDir struct {
	spool bool // it is in the spool, else in the watched folder
	rel   string
}

func newSyncer(f *folder, flushed func()) *syncer {
	return &syncer{
		root:     f.root,
		spool:    f.spool,
		requests: make(chan syncRequest, slots),
		flushed:  flushed,
	}
}

// sync returns when the contents of f, if there is one, and the entries of folders are durable.
// The goroutine of run does the work; f must stay open until sync returns.
func (y *syncer) sync(ctx context.Context, f *rootfs.File, dirs ...syncDir) error {
	req := syncRequest{f: f, dirs: dirs, done: make(chan error, 1)}
	select {
	case y.requests <- req:
	case <-ctx.Done():
		return ctx.Err()
	}

	// The request is answered whatever happens to ctx: run outlives all who ask.
	return <-req.done
}

// run serves requests until stop is closed.
func (y *syncer) run(stop <-chan struct{}) {
	var ended time.Time
	var pause time.Duration
	for {
		var group []syncRequest
		select {
		case req := <-y.requests:
			group = append(group, req)
		case <-stop:
			return
		}

		time.Sleep(pause - time.Since(ended))
		for more := true; more; {
			select {
			case req := <-y.requests:
				group = append(group, req)
			default:
				more = false
			}
		}

		began := time.Now()
		err := y.flush(group)
		ended = time.Now()
		pause = 0
		if len(group) > 1 {
			pause = min(ended.Sub(began), maxSyncPause)
		}
		if err != nil {
			err = fmt.Errorf("sync: %w", err)
		} else {
			y.flushed()
		}
		for _, req := range group {
			req.done <- err
		}
	}
}

// flush makes a group durable.
func (y *syncer) flush(group []syncRequest) error {
	files := 0
	for _, req := range group {
		if req.f != nil {
			files++
		}
	}
	if files > fewFiles {
		if ok, err := y.root.SyncAll(); ok {
			return err
		}
	}

	for _, req := range group {
		if req.f == nil {
			continue
		}
		if err := req.f.Sync(); err != nil {
			return err
		}
	}

	return y.flushDirs(group)
}

// flushDirs makes the entries of folders durable, each once: the first ones of all requests, then
// the second ones.
func (y *syncer) flushDirs(group []syncRequest) error {
	var done []syncDir
	for i := 0; ; i++ {
		any := false
		for _, req := range group {
			if i >= len(req.dirs) {
				continue
			}
			any = true
			if slices.Contains(done, req.dirs[i]) {
				continue
			}
			done = append(done, req.dirs[i])
			if err := y.flushDir(req.dirs[i]); err != nil {
				return err
			}
		}
		if !any {
			return nil
		}
	}
}

func (y *syncer) flushDir(d syncDir) error {
	r := y.root
	if d.spool {
		r = y.spool.Root
	}
	err := r.SyncDir(d.rel)
	if err == nil {
		return nil
	}

	// It may have been removed, renamed or exchanged for something else meanwhile: whoever
	// does that must not be able to hold up files that are claimed.
	if ok, aerr := y.root.SyncAll(); ok {
		return aerr
	}
	if rootfs.IsGone(err) || rootfs.IsBlocked(err) {
		return nil
	}

	return err
}
