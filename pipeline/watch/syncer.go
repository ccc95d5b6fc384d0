package watch

import (
	"context"
	"fmt"
)

// fewFiles is up to how many files are synced one by one. Beyond, one call for the whole
// file system is cheaper.
const fewFiles = 4

// syncer makes claims durable in groups: whoever asks while a sync is running shares the
// next one. A job must not be published before, or a power failure could put its file back
// into the folder, to be claimed under a second id.
type syncer struct {
	root     *root
	requests chan syncRequest
	flushed  func() // called when a group is durable
}

type syncRequest struct {
	f    *file
	dir  string // where the file was renamed from; "" if it was not
	done chan error
}

func newSyncer(r *root, flushed func()) *syncer {
	return &syncer{root: r, requests: make(chan syncRequest, slots), flushed: flushed}
}

// sync returns when the contents of f and its renaming out of dir are durable. The
// goroutine of run does the work; f must stay open until sync returns.
func (y *syncer) sync(ctx context.Context, f *file, dir string) error {
	req := syncRequest{f: f, dir: dir, done: make(chan error, 1)}
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
	for {
		var group []syncRequest
		select {
		case req := <-y.requests:
			group = append(group, req)
		case <-stop:
			return
		}
		for more := true; more; {
			select {
			case req := <-y.requests:
				group = append(group, req)
			default:
				more = false
			}
		}
		err := y.flush(group)
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
	if len(group) > fewFiles {
		if ok, err := y.root.syncAll(); ok {
			return err
		}
	}
	dirs := map[string]bool{}
	for _, req := range group {
		if err := req.f.sync(); err != nil {
			return err
		}
		if req.dir != "" {
			dirs[claimedDir], dirs[req.dir] = true, true
		}
	}
	for dir := range dirs {
		err := y.root.syncDir(dir)
		if err == nil {
			continue
		}
		// It may have been removed, renamed or exchanged for something else meanwhile: whoever
		// does that must not be able to hold up files that are claimed.
		if ok, aerr := y.root.syncAll(); ok {
			return aerr
		}
		if !isGone(err) && !isBlocked(err) {
			return err
		}
	}
	return nil
}
