package settle

import (
	"time"

	"backburn/internal/rootfs"
)

// Patient is how many times as long as Rules.Settle a file is left alone where less can be
// known about it.
const Patient = 5

// remoteSkew is how far the clocks of a file server and of this machine may disagree.
const remoteSkew = time.Minute

// Why a file waits.
const (
	Changing  = "changing"
	Temporary = "temporary"
	Empty     = "empty"
)

// Rules says how long files have to be left alone.
type Rules struct {
	Settle     time.Duration // every file
	StaleAfter time.Duration // names that look temporary, and empty files
	Remote     bool          // the file system is; others write to it unseen
	Temporary  Globs
	Done       *DoneFile // nil without one

	// Describes reports whether a file is named as one that lies beside another and describes it.
	// nil: none is.
	Describes func(rel string) bool
}

// Patience is how long a file must not have changed, and why it waits. blind says that nobody
// could tell whether somebody writes to it.
//
// An empty file waits as long as one with a temporary name: browsers and copying programs reserve
// a name so, and write later.
func (r Rules) Patience(rel string, st rootfs.State, blind bool) (d time.Duration, why string) {
	d = r.Settle
	if r.Remote || blind {
		d *= Patient
	}

	switch {
	case st.Size == 0:
		return max(d, r.StaleAfter), Empty
	case r.temporary(rel, st):
		return max(d, r.StaleAfter), Temporary
	}

	return d, Changing
}

// emptyLook is the least time between two looks at an empty file.
const emptyLook = time.Second

// Again is after how long a file is looked at again that has to wait for as long as left. An empty
// one is looked at before: it may have got its contents without an event that says so.
func (r Rules) Again(left time.Duration, why string) time.Duration {
	if why == Empty {
		return min(left, max(Patient*r.Settle, emptyLook))
	}

	return left
}

// temporary reports whether a file looks like one that will be renamed or written to.
func (r Rules) temporary(rel string, st rootfs.State) bool {
	if st.Mtime == 0 { // rsync -a --partial leaves 1970
		return true
	}
	if r.Temporary.Match(rel) || r.Describes != nil && r.Describes(rel) {
		return true
	}
	if r.Done == nil {
		return false
	}
	done, _ := r.Done.Is(rel)

	return done
}

// History is what was seen of one file.
type History struct {
	State rootfs.State  // as it was at the last look
	Since time.Duration // since when it is so, on the watcher's clock
	Look  time.Duration // time of the last look
	Seen  bool          // State is set
}

// Unchanged notes how a file was found at now, and returns how long it has been so. wall is the
// time of day in nanoseconds since 1970.
func (h *History) Unchanged(st rootfs.State, now time.Duration, wall int64, remote bool) time.Duration {
	if !h.Seen || !h.State.Same(st) {
		h.Since = h.changedAt(st, now, wall, remote)
		h.State = st
		h.Seen = true
	}
	h.Look = now

	return now - h.Since
}

// changedAt is since when a file, found in a state that is new, has been in it. The time of its
// last change says so where kernel and file system share a clock, within the bounds of what was
// seen. A remote file system's clock is trusted to a minute.
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
		since = max(since, h.Look)
	}

	return since
}
