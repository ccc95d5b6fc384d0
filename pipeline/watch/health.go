package watch

import (
	"fmt"
	"sync/atomic"
	"time"

	"backburn/internal/health"
)

// PartPrefix begins the names of a folder's parts in the health registry. The parts belong to the
// folder's source.
const PartPrefix = "folder"

// partKind says how a fault of one part of the work affects the folder's state.
type partKind struct {
	state   health.State // the folder's state while this part has a fault
	expires bool         // the fault may end without notice, for example when a file is removed
}

// partKinds lists the parts. While one is degraded, files are still taken and finished.
var partKinds = map[string]partKind{
	"watches":  {state: health.Degraded},
	"events":   {state: health.Degraded},
	"mount":    {state: health.Degraded},
	"queue":    {state: health.Degraded},
	"janitor":  {state: health.Degraded},
	"metadata": {state: health.Degraded, expires: true},
	"intake":   {state: health.Failed},
	"outcomes": {state: health.Failed},
	"prepare":  {state: health.Failed},
	"space":    {state: health.Failed},
	"scan":     {state: health.Failed},
	"claim":    {state: health.Failed, expires: true},
	"open":     {state: health.Failed, expires: true},
	"ledger":   {state: health.Failed, expires: true},
	"after":    {state: health.Failed, expires: true},
}

// faultExpiry is how long a fault without a known end is shown after it last occurred.
const faultExpiry = 2 * time.Minute

// folderHealth reports the state of a folder to the registry.
type folderHealth struct {
	reg    *health.Registry
	source string
	expiry time.Duration // how long faults that expire are shown
	folder *health.Part  // the folder as a whole
	parts  map[string]*health.Part
	mode   atomic.Value // string: how the folder is watched
}

func newFolderHealth(reg *health.Registry, cfg Config) *folderHealth {
	h := &folderHealth{
		reg:    reg,
		source: cfg.Source,
		expiry: max(faultExpiry, 3*cfg.Scan),
		folder: reg.RequiredPart(PartPrefix, cfg.Source), // unknown until the folder is open
		parts:  map[string]*health.Part{},
	}
	for name := range partKinds {
		h.parts[name] = reg.Part(PartPrefix+"_"+name, cfg.Source)
	}

	return h
}

// opened reports that the folder as a whole is usable.
func (h *folderHealth) opened() { h.folder.OK() }

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

	f := health.Fault{State: partKinds[name].state, Reason: reason}
	if partKinds[name].expires {
		f.Expires = h.expiry
	}
	if name == "space" {
		f.Cause = health.CauseFull
	}
	p.Fault(f)
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

// summary returns the overall state and the first reason for it.
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
