package main

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"backburn/internal/cli"
)

// submitBars shows how many files are submitted and decided: bars on a terminal, otherwise nothing.
// It is safe for concurrent use.
type submitBars struct {
	w                        io.Writer
	progress                 *mpb.Progress // nil without a terminal
	submittedBar, decidedBar *mpb.Bar
	total                    atomic.Int64
	decidedTotal             atomic.Int64 // total of the second bar, without files that could not be submitted
	endOnce                  sync.Once
}

func newSubmitBars(w io.Writer, wait bool) *submitBars {
	b := &submitBars{w: w}
	if !cli.IsTerminal(w) {
		return b
	}

	b.progress = mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
	bar := func(name string) *mpb.Bar {
		return b.progress.AddBar(0, mpb.BarPriority(1000),
			mpb.PrependDecorators(decor.Name(name, decor.WC{W: 12, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d"), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 6})))
	}
	b.submittedBar = bar("submitted")
	if wait {
		b.decidedBar = bar("decided")
	}

	return b
}

// messages returns the writer for messages while bars are shown.
func (b *submitBars) messages() io.Writer {
	if b.progress != nil {
		return b.progress
	}
	return b.w
}

// found counts one more file.
func (b *submitBars) found() {
	if b.progress == nil {
		return
	}
	b.submittedBar.SetTotal(b.total.Add(1), false)
	if b.decidedBar != nil {
		b.decidedBar.SetTotal(b.decidedTotal.Add(1), false)
	}
}

// submitted records whether a file was accepted.
func (b *submitBars) submitted(ok bool) {
	if b.progress == nil {
		return
	}
	b.submittedBar.Increment()
	if !ok && b.decidedBar != nil {
		b.decidedBar.SetTotal(b.decidedTotal.Add(-1), false)
	}
}

// decided counts a final event.
func (b *submitBars) decided() {
	if b.decidedBar != nil {
		b.decidedBar.Increment()
	}
}

// minFileBarSize is the smallest size in bytes for which a file has its own bar.
const minFileBarSize = 1 << 20

// file shows a separate bar for a large file. It wraps open, so that the bar counts the bytes that
// are read. end removes the bar.
func (b *submitBars) file(name string, size int64, open func() (io.ReadCloser, error)) (_ func() (io.ReadCloser, error), end func()) {
	if b.progress == nil || size < minFileBarSize {
		return open, func() {}
	}

	bar := b.progress.AddBar(size, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(clip(name, 32), decor.WC{W: 34, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f of % .1f")))

	return func() (io.ReadCloser, error) {
		r, err := open()
		if err != nil {
			return nil, err
		}

		bar.SetCurrent(0)

		return bar.ProxyReader(r), nil
	}, func() { bar.Abort(true) }
}

// end stops the bars. Later calls do nothing.
func (b *submitBars) end() {
	b.endOnce.Do(func() {
		if b.progress == nil {
			return
		}

		b.submittedBar.Abort(false)
		if b.decidedBar != nil {
			b.decidedBar.Abort(false)
		}

		b.progress.Wait()
	})
}
