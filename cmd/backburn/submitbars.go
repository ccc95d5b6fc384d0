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
	w       io.Writer
	all     *mpb.Progress // nil without a terminal
	in, out *mpb.Bar
	total   atomic.Int64
	outs    atomic.Int64 // total of the second bar, without files that could not be submitted
	over    sync.Once
}

func newSubmitBars(w io.Writer, wait bool) *submitBars {
	b := &submitBars{w: w}
	if !cli.IsTerminal(w) {
		return b
	}

	b.all = mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
	bar := func(name string) *mpb.Bar {
		return b.all.AddBar(0, mpb.BarPriority(1000),
			mpb.PrependDecorators(decor.Name(name, decor.WC{W: 12, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d"), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 6})))
	}
	b.in = bar("submitted")
	if wait {
		b.out = bar("decided")
	}

	return b
}

// talk returns the writer for messages while bars are shown.
func (b *submitBars) talk() io.Writer {
	if b.all != nil {
		return b.all
	}
	return b.w
}

// found counts one more file.
func (b *submitBars) found() {
	if b.all == nil {
		return
	}
	b.in.SetTotal(b.total.Add(1), false)
	if b.out != nil {
		b.out.SetTotal(b.outs.Add(1), false)
	}
}

// submitted records whether a file was accepted.
func (b *submitBars) submitted(ok bool) {
	if b.all == nil {
		return
	}
	b.in.Increment()
	if !ok && b.out != nil {
		b.out.SetTotal(b.outs.Add(-1), false)
	}
}

// decided counts a final event.
func (b *submitBars) decided() {
	if b.out != nil {
		b.out.Increment()
	}
}

// barFrom is the smallest size in bytes for which a file has its own bar.
const barFrom = 1 << 20

// file shows a separate bar for a large file, which follows the reading. end removes the bar.
func (b *submitBars) file(name string, size int64, open func() (io.ReadCloser, error)) (_ func() (io.ReadCloser, error), end func()) {
	if b.all == nil || size < barFrom {
		return open, func() {}
	}

	bar := b.all.AddBar(size, mpb.BarRemoveOnComplete(),
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
	b.over.Do(func() {
		if b.all == nil {
			return
		}

		b.in.Abort(false)
		if b.out != nil {
			b.out.Abort(false)
		}

		b.all.Wait()
	})
}
