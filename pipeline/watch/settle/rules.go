package settle

import (
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline/watch/beside"
)

// BlindFactor multiplies Rules.Settle where writers cannot be detected.
const BlindFactor = 5

// remoteSkew is the assumed maximum difference between the clocks of a file server and this
// machine.
const remoteSkew = time.Minute

// Why a file waits.
const (
	Changing  = "changing"
	Temporary = "temporary"
	Empty     = "empty"
)

// Rules define how long files must stay unchanged.
type Rules struct {
	Settle     time.Duration // for every file
	StaleAfter time.Duration // for temporary names, and for empty files
	Remote     bool          // on a network file system, where writers on other machines are invisible
	Temporary  Globs
	Done       *DoneFile // nil without one

	Descriptions beside.Kind // their names count as temporary
}

// SettleTime returns how long a file must stay unchanged, and the reason. blind means that writers
// cannot be detected.
//
// An empty file waits as long as one with a temporary name: browsers and copying programs first
// create an empty file to reserve the name.
func (r Rules) SettleTime(rel string, st rootfs.State, blind bool) (d time.Duration, why string) {
	d = r.Settle
	if r.Remote || blind {
		d *= BlindFactor
	}

	switch {
	case st.Size == 0:
		return max(d, r.StaleAfter), Empty
	case r.temporary(rel, st):
		return max(d, r.StaleAfter), Temporary
	}

	return d, Changing
}

// emptyRecheck is the minimum delay before an empty file is examined again, unless its wait ends
// sooner.
const emptyRecheck = time.Second

// RecheckDelay returns the delay before a file is examined again. left is how long it still has to
// wait. An empty file is examined sooner: it may be written to without an event.
func (r Rules) RecheckDelay(left time.Duration, why string) time.Duration {
	if why == Empty {
		return min(left, max(BlindFactor*r.Settle, emptyRecheck))
	}

	return left
}

// temporary reports whether a file looks as if it will be renamed, written to, or removed together
// with another file.
func (r Rules) temporary(rel string, st rootfs.State) bool {
	isDone, _ := r.Done.Is(rel)
	_, isDescription := r.Descriptions.DescribedFile(rel)

	return isDone || isDescription || r.Temporary.Match(rel) || st.Mtime == 0 // rsync -a --partial leaves the time 0, in 1970
}

// History is what is known about one file from earlier examinations.
type History struct {
	State    rootfs.State  // at the last examination
	Since    time.Duration // when that state began, or a writer was last detected, on the watcher's clock
	LastSeen time.Duration // time of the last examination, on the watcher's clock
	Seen     bool          // State is set
}

// Unchanged records the state found at now, and returns how long the file has been in that state.
// wall is the wall time in nanoseconds since 1970.
func (h *History) Unchanged(st rootfs.State, now time.Duration, wall int64, remote bool) time.Duration {
	if !h.Seen || !h.State.Same(st) {
		h.Since = h.changedAt(st, now, wall, remote)
		h.State = st
		h.Seen = true
	}
	h.LastSeen = now

	return now - h.Since
}

// changedAt returns when a newly found state began. If kernel and file system share a clock, that
// is the time of the last change, but not before the last examination. On a remote file system the
// clocks may differ by up to a minute.
func (h *History) changedAt(st rootfs.State, now time.Duration, wall int64, remote bool) time.Duration {
	age := time.Duration(max(wall-st.Ctime, 0))
	if remote {
		age = max(age-remoteSkew, 0)
		if h.Seen {
			age = 0
		}
	}

	since := now - age
	if h.Seen {
		since = max(since, h.LastSeen)
	}

	return since
}
