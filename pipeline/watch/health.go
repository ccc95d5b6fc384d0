package watch

import (
	"fmt"
	"sync/atomic"
	"time"

	"backburn/internal/health"
)

// PartPrefix is what the names of a folder's parts in the health registry begin with. Whose they
// are is the folder's source.
const PartPrefix = "folder"

// aspect is a part of the work on a folder.
type aspect struct {
	state   health.State // of the folder while this has a fault
	expires bool         // what it failed at may be given up, such as a file that was removed
}

// aspects are the parts of the work. What is degraded leaves files being taken and finished.
var aspects = map[string]aspect{
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

// partKept is how long a fault is shown after it last occurred, where nothing says that it is over.
const partKept = 2 * time.Minute

// folderHealth reports how a folder is to the registry.
type folderHealth struct {
	reg    *health.Registry
	source string
	kept   time.Duration // of faults that expire
	folder *health.Part  // as a whole
	parts  map[string]*health.Part
	mode   atomic.Value // string: how the folder is watched
}

func newFolderHealth(reg *health.Registry, cfg Config) *folderHealth {
	h := &folderHealth{
		reg:    reg,
		source: cfg.Source,
		kept:   max(partKept, 3*cfg.Scan),
		folder: reg.Required(PartPrefix, cfg.Source), // unknown until it was opened
		parts:  map[string]*health.Part{},
	}
	for name := range aspects {
		h.parts[name] = reg.Part(PartPrefix+"_"+name, cfg.Source)
	}

	return h
}

// opened says that the folder as a whole can be worked on.
func (h *folderHealth) opened() { h.folder.OK() }

// closed says why the folder cannot be worked on at all. Its parts have no faults of their own
// then.
func (h *folderHealth) closed(reason string) {
	h.folder.Fault(health.Fault{Reason: reason})
	for _, p := range h.parts {
		p.OK()
	}
}

// part notes a fault in a part of the folder, or with reason "" that it works.
func (h *folderHealth) part(name, reason string) {
	p := h.parts[name]
	if reason == "" {
		p.OK()
		return
	}

	f := health.Fault{State: aspects[name].state, Reason: reason}
	if aspects[name].expires {
		f.Expires = h.kept
	}
	if name == "space" {
		f.Cause = health.CauseFull
	}
	p.Fault(f)
}

// files has the folder tell of files in trouble, which leave it ok.
func (h *folderHealth) files(t *troubles, start time.Time) {
	h.reg.Func(PartPrefix+"_files", h.source, func() error {
		n, longest := t.reported(start)
		if n == 0 {
			return nil
		}

		return health.Note(fmt.Sprintf("files in trouble: %d, for longest %q: %s", n, longest[0].Path, longest[0].Reason))
	})
}

// view is the state as a whole, with the first reason that there is.
func (h *folderHealth) view() (state, reason string, since time.Time, mode string) {
	parts := h.reg.Of(PartPrefix, h.source)
	unwell := health.Unwell(parts)
	for _, p := range parts { // well since the last fault ended
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
