package watch

import (
	"context"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/settle"
	"backburn/results"
)

// claimer makes each complete file a job exactly once. A mover moves files into the spool; a keeper
// leaves them in place and records them. One of a session's claimers takes new files. The others
// finish what was claimed under an earlier configuration.
type claimer interface {
	// take claims an open, complete file and publishes its job. It closes f and releases the
	// in-flight reservation. It calls report exactly once, as soon as the outcome for the name is
	// known.
	take(ctx context.Context, rel string, f *rootfs.File, st rootfs.State, report func(settle.Outcome))

	// recover finds claimed files that this watcher does not know and that are at least minAge old,
	// and adds them to those in flight. It publishes those whose jobs may not have been published.
	// At startup minAge is 0, which means all files.
	recover(ctx context.Context, minAge time.Duration) error

	// republish publishes again the claimed files with these IDs, whose jobs the queue has lost. It
	// returns how many of the jobs are this claimer's.
	republish(ctx context.Context, ids []string) (n int, err error)

	// handleFinal handles a job's final event if this claimer has the file. It may be called again
	// for the same event, wherever an earlier call was interrupted.
	handleFinal(ctx context.Context, id string, e results.Event) error
}

// opener opens complete files, checks them through the open file, and passes them to a claimer.
type opener struct {
	*folder
	rules   settle.Rules
	claimer claimer
}

// take checks a file and passes it to the claimer. The caller has an in-flight reservation, which
// take releases. want is the file's last known state, and unchanged is how long the file has been
// in it.
func (op *opener) take(ctx context.Context, rel string, want rootfs.State, unchanged time.Duration, report func(settle.Outcome)) {
	defer op.w.inFlight.endPublishing()

	f, st, o := op.inspect(ctx, rel, want, unchanged)
	if o != settle.Take {
		op.w.inFlight.cancelReservation()
		report(o)
		return
	}

	op.claimer.take(ctx, rel, f, st, report)
}

// inspect opens a file and checks it through the open file. It closes f unless the outcome is
// settle.Take.
func (op *opener) inspect(ctx context.Context, rel string, want rootfs.State, unchanged time.Duration) (f *rootfs.File, st rootfs.State, o settle.Outcome) {
	f, err := op.root.Open(rel)
	if err != nil {
		return nil, st, op.openErrorOutcome(ctx, rel, err)
	}

	defer func() {
		if o != settle.Take {
			f.Close()
		}
	}()

	if st, err = f.Stat(); err != nil {
		return f, st, op.openErrorOutcome(ctx, rel, err)
	}
	if !st.Same(want) {
		return f, st, settle.Changed
	}
	if err := op.w.guard.File(st.Identity); err != nil {
		op.reportOwnFile(ctx, rel, err)
		return f, st, settle.Failed
	}

	return f, st, op.writerOutcome(rel, f, st, unchanged)
}

// openErrorOutcome returns the outcome for a file that could not be opened.
func (op *opener) openErrorOutcome(ctx context.Context, rel string, err error) settle.Outcome {
	switch cause := rootfs.CauseOf(err); {
	case rootfs.IsGone(err):
		return settle.Forget
	case cause == rootfs.Busy:
		return settle.Writing
	case isMount(err):
		op.reportMount(rel)
		return settle.Forget
	case cause == rootfs.Outside, cause == rootfs.Special:
		op.w.m.skipped["special"].Inc()
		return settle.Forget
	case cause == rootfs.Denied:
		op.w.m.deferred["unreadable"].Inc()
	default:
		op.w.m.deferred["fault"].Inc()
	}

	op.w.log.Debug().Str("path", rel).Err(err).Msg("cannot open a file; retrying")
	op.reportError(ctx, rel, cannotOpen, "open", err)

	return settle.Failed
}

// writerOutcome returns the outcome for a complete file, which depends on whether a process has it
// open for writing.
func (op *opener) writerOutcome(rel string, f *rootfs.File, st rootfs.State, unchanged time.Duration) settle.Outcome {
	switch w, err := f.Writer(); w {
	case rootfs.NoWriter:
		op.w.health.set("open", "")
		return settle.Take
	case rootfs.HasWriter:
		return settle.Writing
	default:
		if settleTime, _ := op.rules.SettleTime(rel, st, true); unchanged < settleTime {
			return settle.Blind
		}
		op.w.m.writerBlind.Inc()
		op.w.blindOnce.Do(func() {
			op.w.log.Warn().Err(err).Msg("cannot detect whether files are open for writing, so files wait longer; " +
				"run as the owner of the files or with CAP_LEASE")
		})
		return settle.Take
	}
}
