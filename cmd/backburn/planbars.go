package main

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"backburn/internal/cli"
)

// planBars shows how many of the files found so far are hashed: a bar on a terminal, otherwise
// nothing. It is safe for concurrent use.
type planBars struct {
	w        io.Writer
	progress *mpb.Progress // nil without a terminal
	files    *mpb.Bar
	total    atomic.Int64
	bytes    atomic.Int64
	endOnce  sync.Once
}

func newPlanBars(w io.Writer) *planBars {
	b := &planBars{w: w}
	if !cli.IsTerminal(w) {
		return b
	}

	b.progress = mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
	b.files = b.progress.AddBar(0,
		mpb.PrependDecorators(decor.Name("hashed", decor.WC{W: 12, C: decor.DindentRight})),
		mpb.AppendDecorators(
			decor.CountersNoUnit("%d of %d"),
			decor.Any(func(decor.Statistics) string { return "  " + humanSize(b.bytes.Load()) }),
			decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 6}),
		))

	return b
}

// messages returns the writer for messages while bars are shown.
func (b *planBars) messages() io.Writer {
	if b.progress != nil {
		return b.progress
	}

	return b.w
}

// found counts one more file.
func (b *planBars) found() {
	if b.progress != nil {
		b.files.SetTotal(b.total.Add(1), false)
	}
}

// done counts a hashed file of the given size in bytes.
func (b *planBars) done(size int64) {
	if b.progress != nil {
		b.bytes.Add(size)
		b.files.Increment()
	}
}

// end stops the bar. Later calls do nothing.
func (b *planBars) end() {
	b.endOnce.Do(func() {
		if b.progress != nil {
			b.files.Abort(false)
			b.progress.Wait()
		}
	})
}
