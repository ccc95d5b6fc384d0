package watch

import (
	"context"
	"fmt"
	"time"

	"backburn/internal/rootfs"
)

// maxSingleSyncs is the largest number of files that are synced one by one. For more, one call for
// the whole file system is cheaper.
const maxSingleSyncs = 4

// maxSyncPause limits the pause between two syncs. Each sync delays everybody who writes to the
// file system, so under load the next one starts only after a pause as long as the last sync took.
// There is no pause after the sync of a single request.
const maxSyncPause = 25 * time.Millisecond

// syncer makes changes durable in groups: requests that arrive during a sync share the next one. A
// claim must be durable before its job is published. Otherwise a power failure could put the file
// back into the folder, and it would be claimed again under another ID.
type syncer struct {
	root      *rootfs.Root // the watched folder
	requests  chan *syncRequest
	onFlushed func() // called after each group; for tests
}

// syncRequest lists what must become durable: a file's contents, then directory entries, in this
// order.
type syncRequest struct {
	f    *rootfs.File // nil for none
	dirs []syncDir
	done chan struct{} // closed when err is set
	err  error
}

// syncDir is a folder whose entries must become durable.
type syncDir struct {
	root *rootfs.Root // the spool's or the watched folder's
	rel  string
}

func newSyncer(f *folder, flushed func()) *syncer {
	return &syncer{
		root:      f.root,
		requests:  make(chan *syncRequest, maxPublishing),
		onFlushed: flushed,
	}
}

// sync returns when the contents of f, if not nil, and the entries of dirs are durable. The
// goroutine of run does the work. f must stay open until sync returns.
func (s *syncer) sync(ctx context.Context, f *rootfs.File, dirs ...syncDir) error {
	req := &syncRequest{f: f, dirs: dirs, done: make(chan struct{})}
	select {
	case s.requests <- req:
	case <-ctx.Done():
		return ctx.Err()
	}

	// Ignore ctx here: run outlives all callers and answers each request.
	<-req.done
	if req.err != nil {
		return fmt.Errorf("sync: %w", req.err)
	}

	return nil
}

// run serves requests until stop is closed.
func (s *syncer) run(stop <-chan struct{}) {
	var ended time.Time
	var pause time.Duration
	for {
		var group []*syncRequest
		select {
		case req := <-s.requests:
			group = append(group, req)
		case <-stop:
			return
		}

		time.Sleep(pause - time.Since(ended))
		for more := true; more; {
			select {
			case req := <-s.requests:
				group = append(group, req)
			default:
				more = false
			}
		}

		began := time.Now()
		s.flush(group)
		ended = time.Now()
		pause = 0
		if len(group) > 1 {
			pause = min(ended.Sub(began), maxSyncPause)
		}
		s.onFlushed()
		for _, req := range group {
			close(req.done)
		}
	}
}

// flush makes a group durable, and sets the error of each request for which that fails. A file that
// cannot be synced does not affect the others, unless one call syncs the whole file system.
func (s *syncer) flush(group []*syncRequest) {
	files := 0
	for _, req := range group {
		if req.f != nil {
			files++
		}
	}
	if files > maxSingleSyncs {
		if ok, err := s.root.SyncAll(); ok {
			for _, req := range group {
				req.err = err
			}
			return
		}
	}

	for _, req := range group {
		if req.f != nil {
			req.err = req.f.Sync()
		}
	}
	s.flushDirs(group)
}

// flushDirs makes directory entries durable, each folder once: first the first folder of every
// request, then the second.
func (s *syncer) flushDirs(group []*syncRequest) {
	flushed := map[syncDir]error{}
	for i, found := 0, true; found; i++ {
		found = false
		for _, req := range group {
			if i >= len(req.dirs) || req.err != nil {
				continue
			}
			found = true
			dir := req.dirs[i]
			err, done := flushed[dir]
			if !done {
				err = s.flushDir(dir)
				flushed[dir] = err
			}
			req.err = err
		}
	}
}

func (s *syncer) flushDir(d syncDir) error {
	err := d.root.SyncDir(d.rel)
	if err == nil {
		return nil
	}

	// The folder may have been removed, renamed or replaced meanwhile. That must not block claimed
	// files.
	if ok, syncErr := s.root.SyncAll(); ok {
		return syncErr
	}
	if rootfs.IsGone(err) || rootfs.IsBlocked(err) {
		return nil
	}

	return err
}
