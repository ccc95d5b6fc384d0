package watch

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"backburn/internal/health"
)

// PartPrefix begins the names of a folder's parts in the health registry. The parts belong to the
// folder's source.
const PartPrefix = "folder"

// faultExpiry is the shortest time for which a fault without a known end is shown after it last
// occurred.
const faultExpiry = 2 * time.Minute

// partFaults lists the parts of the work, each with its fault. While a part is degraded, files are
// still taken and finished. A fault that expires may end without notice, for example when a file is
// removed.
var partFaults = map[string]health.Fault{
	"watches":  {State: health.Degraded},
	"events":   {State: health.Degraded},
	"mount":    {State: health.Degraded},
	"queue":    {State: health.Degraded},
	"janitor":  {State: health.Degraded},
	"metadata": {State: health.Degraded, Expires: faultExpiry},
	"intake":   {State: health.Failed},
	"outcomes": {State: health.Failed},
	"prepare":  {State: health.Failed},
	"space":    {State: health.Failed, Cause: health.CauseFull},
	"scan":     {State: health.Failed},
	"claim":    {State: health.Failed, Expires: faultExpiry},
	"open":     {State: health.Failed, Expires: faultExpiry},
	"ledger":   {State: health.Failed, Expires: faultExpiry},
	"after":    {State: health.Failed, Expires: faultExpiry},
}

// scanParts are the parts whose faults end when they do not recur in a full scan.
var scanParts = []string{"watches", "scan", "mount"}

// folderHealth reports the state of a folder to the registry.
type folderHealth struct {
	reg    *health.Registry
	source string
	expiry time.Duration // how long faults that expire are shown
	folder *health.Part  // the folder as a whole
	parts  map[string]*health.Part
	mode   atomic.Value // string: how the folder is watched
	inScan sync.Map     // names of the parts with a fault since the current scan began
}

func newFolderHealth(reg *health.Registry, cfg Config) *folderHealth {
	h := &folderHealth{
		reg:    reg,
		source: cfg.Source,
		expiry: max(faultExpiry, 3*cfg.Scan),
		folder: reg.RequiredPart(PartPrefix, cfg.Source), // unknown until the folder is open
		parts:  map[string]*health.Part{},
	}
	for name := range partFaults {
		h.parts[name] = reg.Part(PartPrefix+"_"+name, cfg.Source)
	}

	return h
}

// closed reports why the folder is not usable at all. This clears the faults of its parts.
func (h *folderHealth) closed(reason string) {
	h.folder.Fault(health.Fault{Reason: reason})
	for _, p := range h.parts {
		p.OK()
	}
}

// set records a fault of a part or, if reason is "", that the part works. The other parts continue.
func (h *folderHealth) set(name, reason string) {
	p := h.parts[name]
	if reason == "" {
		p.OK()
		return
	}

	f := partFaults[name]
	f.Reason = reason
	if f.Expires > 0 {
		f.Expires = h.expiry
	}
	h.inScan.Store(name, nil)
	p.Fault(f)
}

// beginScan marks the start of a full scan, and endScan its end. endScan ends the faults of
// scanParts that did not recur.
func (h *folderHealth) beginScan() { h.inScan.Clear() }

func (h *folderHealth) endScan() {
	for _, name := range scanParts {
		if !h.recurs(name) {
			h.set(name, "")
		}
	}
}

// recurs reports whether a part has had a fault since the current scan began.
func (h *folderHealth) recurs(name string) bool {
	_, ok := h.inScan.Load(name)

	return ok
}

// registerTroubles adds a note about files in trouble to the folder's state, which stays ok.
func (h *folderHealth) registerTroubles(t *troubles, start time.Time) {
	h.reg.Func(PartPrefix+"_files", h.source, func() error {
		n, longest := t.reported(start)
		if n == 0 {
			return nil
		}

		return health.Note(fmt.Sprintf("files in trouble: %d; longest: %q: %s", n, longest[0].Path, longest[0].Reason))
	})
}

// summary returns the overall state, the fault of the worst part, and the time when the oldest
// fault began or, if all parts are ok, when the last fault ended.
func (h *folderHealth) summary() (state, reason string, since time.Time, mode string) {
	parts := h.reg.Of(PartPrefix, h.source)
	unwell := health.NotOK(parts)
	for _, p := range parts { // if all are ok, the state began when the last fault ended
		if p.Since.After(since) {
			since = p.Since
		}
	}
	for i, p := range unwell {
		if i == 0 || p.Since.Before(since) {
			since = p.Since
		}
	}
	if len(unwell) > 0 {
		reason = unwell[0].Text()
	}
	mode, _ = h.mode.Load().(string)

	return string(health.Worst(parts)), reason, since, mode
}
