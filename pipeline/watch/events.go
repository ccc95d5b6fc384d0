package watch

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/fsnotify/fsnotify"
)

// eventSlots is how many events are kept between the kernel's queue and ours.
const eventSlots = 1024

// follow turns file system events into hints. It does nothing else: whatever takes time
// here makes the kernel's queue overflow. Errors are read in the same select, because the
// library delivers nothing more while one is unread.
func (s *session) follow(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case ev, ok := <-s.events.Events:
			if !ok {
				return errors.New("the event source was closed")
			}
			s.w.m.events.Inc()
			if s.w.onEvent != nil {
				s.w.onEvent()
			}
			s.hint(ev)
		case err, ok := <-s.events.Errors:
			if !ok {
				return errors.New("the event source was closed")
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				s.w.log.Warn().Err(err).Msg("watch event source reports a fault, scanning")
			}
			s.w.m.overflows.Inc()
			s.scans.full()
		}
	}
}

// hint reports the name of an event.
func (s *session) hint(ev fsnotify.Event) {
	if ev.Name == s.root.path {
		if ev.Has(fsnotify.Remove) || ev.Has(fsnotify.Rename) {
			s.checkNow()
		}
		return
	}
	if !ev.Has(fsnotify.Create) && !ev.Has(fsnotify.Write) && !ev.Has(fsnotify.Chmod) {
		return // a name that is gone, perhaps by our own claim
	}
	rel, ok := strings.CutPrefix(ev.Name, s.prefix)
	if !ok {
		return
	}
	rel = filepath.ToSlash(rel)
	if !s.hints.put(rel, true) {
		s.w.m.overflows.Inc()
		s.scans.full()
	}
	if s.w.done == nil {
		return
	}
	if isDone, of := s.w.done.is(rel); isDone {
		if of == "" || !s.hints.put(of, true) {
			s.scans.full()
		}
	}
}

// watchDir asks for the events of a folder. Adding comes before scanning, always: what
// appears in between is then reported by both, and never by neither.
func (s *session) watchDir(rel string) {
	if s.events == nil {
		return
	}
	err := s.events.Add(filepath.Join(s.root.path, filepath.FromSlash(rel)))
	if err == nil || isGone(err) {
		return
	}
	s.scans.unwatched.Store(true)
	reason := "some folders are not watched, only scanned: " + err.Error()
	if isNoSpace(err) {
		reason = "some folders are not watched, only scanned: the limit of inotify watches is reached; raise it with " +
			"`sysctl fs.inotify.max_user_watches=1048576`"
	}
	s.part("watches", reason)
}
