package watch

import (
	"context"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/settle"
	"backburn/results"
)

// claimer is a way to make complete files jobs, each once: by moving them into the spool, or by
// remembering them where they are. One of a session's claimers takes files; the others look
// after what was claimed under another configuration.
type claimer interface {
	// take claims an open file that was found complete and sees it through to its publication.
	// It closes f, gives back the reservation in flight, and calls report once, as soon as it
	// is known what becomes of the name.
	take(ctx context.Context, rel string, f *rootfs.File, st rootfs.State, report func(settle.Outcome))

	// recover counts what is claimed already, and publishes again what this watcher does not
	// know and nobody has touched for minAge. At a start that is everything (minAge is 0).
	recover(ctx context.Context, minAge time.Duration) error

	// republish publishes again what is claimed under these ids, of which the queue knows
	// nothing, and returns how many there were.
	republish(ctx context.Context, ids []string) (n int, err error)

	// conclude deals with a job's final event, if the file is one of its own. It is safe to
	// repeat at any point.
	conclude(ctx context.Context, id string, e results.Event) error
}

// opener opens complete files, judges them by what was opened, and gives them to a claimer.
type opener struct {
	*folder
	rules   settle.Rules
	claimer claimer
}

// take runs with a reserved in-flight place and releases it. unchanged is how long the file has
// been as want says. report may be nil.
func (t *opener) take(ctx context.Context, rel string, want rootfs.State, unchanged time.Duration, report func(settle.Outcome)) {
	defer t.w.inFlight.leave()
	if report == nil {
		report = func(settle.Outcome) {}
	}

	f, st, o := t.inspect(ctx, rel, want, unchanged)
	if o != settle.Take {
		t.w.inFlight.cancel()
		report(o)
		return
	}

	t.claimer.take(ctx, rel, f, st, report)
}

// inspect opens a file and judges it by what was opened. Unless the outcome is settle.Take, f is
// closed.
func (t *opener) inspect(ctx context.Context, rel string, want rootfs.State, unchanged time.Duration) (f *rootfs.File, st rootfs.State, o settle.Outcome) {
	f, err := t.root.Open(rel)
	if err != nil {
		return nil, st, t.cannotOpen(ctx, rel, err)
	}

	st, err = f.Stat()
	switch {
	case err != nil:
		o = t.cannotOpen(ctx, rel, err)
	case !st.Same(want):
		o = settle.Changed
	case t.ours(ctx, rel, st):
		o = settle.Failed
	default:
		o = t.askWriter(rel, f, st, unchanged)
	}
	if o != settle.Take {
		f.Close()
	}

	return f, st, o
}

// ours reports whether a file is Backburn's own, and notes that it stays where it is.
func (t *opener) ours(ctx context.Context, rel string, st rootfs.State) bool {
	err := t.w.guard.File(st.Identity)
	if err != nil {
		t.leftAlone(ctx, rel, err)
	}

	return err != nil
}

// cannotOpen says what becomes of a file that could not be opened.
func (t *opener) cannotOpen(ctx context.Context, rel string, err error) settle.Outcome {
	switch cause := rootfs.CauseOf(err); {
	case rootfs.IsGone(err):
		return settle.Forget
	case cause == rootfs.Busy:
		return settle.Writing
	case isMount(err):
		t.mountedAt(rel)
		return settle.Forget
	case cause == rootfs.Outside, cause == rootfs.Special:
		t.w.m.skipped["special"].Inc()
		return settle.Forget
	case cause == rootfs.Denied:
		t.w.m.deferred["unreadable"].Inc()
	default:
		t.w.m.deferred["fault"].Inc()
	}

	t.w.log.Debug().Str("path", rel).Err(err).Msg("cannot open a file; retrying")
	if fileFault(err) {
		t.troubled(ctx, rel, cannotOpen, err)
	} else {
		t.fault(ctx, "open", err)
	}

	return settle.Failed
}

// askWriter decides by whether somebody has the file open for writing.
func (t *opener) askWriter(rel string, f *rootfs.File, st rootfs.State, unchanged time.Duration) settle.Outcome {
	switch w, err := f.Writer(); w {
	case rootfs.NoWriter:
		t.part("open", "")
		return settle.Take
	case rootfs.HasWriter:
		return settle.Writing
	default:
		if patience, _ := t.rules.Patience(rel, st, true); unchanged < patience {
			return settle.Blind
		}
		t.w.m.writerBlind.Inc()
		t.w.blindOnce.Do(func() {
			t.w.log.Warn().Err(err).Msg("cannot detect whether files are open for writing; files wait longer; " +
				"run as the owner of the files or with CAP_LEASE")
		})
		return settle.Take
	}
}
