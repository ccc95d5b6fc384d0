package main

import (
	"io"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// submitBars shows how files are submitted and decided: bars on a terminal, nothing
// elsewhere. It is safe for concurrent use.
type submitBars struct {
	w       io.Writer
	all     *mpb.Progress // nil: no terminal
	in, out *mpb.Bar
	total   atomic.Int64
	outs    atomic.Int64 // total of the second bar: what failed to be submitted is never decided
	over    sync.Once
}

func newSubmitBars(w io.Writer, wait bool) *submitBars {
	b := &submitBars{w: w}
	if !isTerminal(w) {
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

// talk is where to write while there are bars.
func (b *submitBars) talk() io.Writer {
	if b.all != nil {
		return b.all
	}
	return b.w
}

// found notes one more file.
func (b *submitBars) found() {
	if b.all == nil {
		return
	}
	b.in.SetTotal(b.total.Add(1), false)
	if b.out != nil {
		b.out.SetTotal(b.outs.Add(1), false)
	}
}

// submitted notes that a file was accepted, or could not be.
func (b *submitBars) submitted(ok bool) {
	if b.all == nil {
		return
	}
	b.in.Increment()
	if !ok && b.out != nil {
		b.out.SetTotal(b.outs.Add(-1), false)
	}
}

// decided notes a final event.
func (b *submitBars) decided() {
	if b.out != nil {
		b.out.Increment()
	}
}

// barFrom is the size in bytes from which a file has a bar of its own.
const barFrom = 1 << 20

// file gives a file that takes a while a bar of its own, which follows the reading. end
// removes it.
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

// end leaves the bars as they are, once.
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
