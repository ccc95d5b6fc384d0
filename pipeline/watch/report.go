package watch

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"backburn/internal/rootfs"
)

// reportFault records a fault of a part of the work, which is retried. It ignores errors after the
// end of ctx.
func (f *folder) reportFault(ctx context.Context, part string, err error) {
	if ctx.Err() == nil {
		f.w.health.set(part, part+": "+err.Error())
	}
}

// reportError records an error as the trouble of a file if it concerns only that file, and
// otherwise as a fault of a part of the work.
func (f *folder) reportError(ctx context.Context, rel, what, part string, err error) {
	if isFileFault(err) {
		f.reportTrouble(ctx, rel, what, err)
	} else {
		f.reportFault(ctx, part, err)
	}
}

// reportTrouble records a fault of a single file.
func (f *folder) reportTrouble(ctx context.Context, rel, what string, err error) {
	if ctx.Err() == nil {
		f.w.troubles.record(rel, what, err, f.w.clock())
	}
}

// reportOwnFile records that a file in the folder belongs to Backburn itself.
func (f *folder) reportOwnFile(ctx context.Context, rel string, err error) {
	f.w.m.deferred["own"].Inc()
	f.reportTrouble(ctx, rel, isLeftAlone, err)
}

// isMount reports whether the error says that a file is on another mount than the folder.
func isMount(err error) bool { return errors.Is(err, rootfs.ErrOtherMount) }

// reportMount records that files at rel cannot be taken because they are on another mount.
func (f *folder) reportMount(rel string) {
	f.w.m.skipped["mount"].Inc()
	f.w.health.set("mount", fmt.Sprintf("another file system is mounted inside the folder, at or above %q; watch it as a folder of its own", rel))
}

// isFileFault reports whether an error concerns only one file.
func isFileFault(err error) bool {
	switch rootfs.CauseOf(err) {
	case rootfs.Denied, rootfs.Busy, rootfs.Outside, rootfs.Special:
		return true
	case rootfs.Missing:
		return !rootfs.IsGone(err)
	}

	return errors.Is(err, syscall.EIO) // a bad sector; if the whole disk has failed, every file reports this
}
