package main

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"backburn/internal/cli"
)

// progressBars shows bars on a terminal, otherwise nothing. It is safe for concurrent use, except
// for count.
type progressBars struct {
	w       io.Writer
	shown   *mpb.Progress // nil without a terminal
	counts  []*countBar
	endOnce sync.Once
}

func newProgressBars(w io.Writer) *progressBars {
	b := &progressBars{w: w}
	if cli.IsTerminal(w) {
		b.shown = mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
	}

	return b
}

// messages returns the writer for messages while bars are shown.
func (b *progressBars) messages() io.Writer {
	if b.shown != nil {
		return b.shown
	}

	return b.w
}

// countBar counts files. A nil one shows nothing.
type countBar struct {
	*mpb.Bar

	total atomic.Int64
}

// count adds a bar for a number of files, which expect can change. It returns nil without a
// terminal.
func (b *progressBars) count(name string, total int, more ...decor.Decorator) *countBar {
	if b.shown == nil {
		return nil
	}

	right := slices.Concat([]decor.Decorator{decor.CountersNoUnit("%d of %d")}, more,
		[]decor.Decorator{decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 6})})
	c := &countBar{Bar: b.shown.AddBar(int64(total), mpb.BarPriority(1000+len(b.counts)), // below the bars of files
		mpb.PrependDecorators(decor.Name(name, decor.WC{W: 12, C: decor.DindentRight})),
		mpb.AppendDecorators(right...))}
	c.total.Store(int64(total))
	b.counts = append(b.counts, c)

	return c
}

// expect adds more, which may be negative, to the number of files.
func (c *countBar) expect(more int64) {
	if c != nil {
		c.SetTotal(c.total.Add(more), false)
	}
}

func (c *countBar) done() {
	if c != nil {
		c.Increment()
	}
}

// minFileBarSize is the smallest size in bytes for which a file has its own bar.
const minFileBarSize = 1 << 20

// file shows a separate bar for a large file. It wraps open, so that the bar counts the bytes that
// are read. end removes the bar.
func (b *progressBars) file(name string, size int64, open func() (io.ReadCloser, error)) (_ func() (io.ReadCloser, error), end func()) {
	if b.shown == nil || size < minFileBarSize {
		return open, func() {}
	}

	bar := b.shown.AddBar(size, mpb.BarRemoveOnComplete(),
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

// end stops the bars where they are. Later calls do nothing.
func (b *progressBars) end() {
	b.endOnce.Do(func() {
		for _, c := range b.counts {
			c.Abort(false)
		}

		if b.shown != nil {
			b.shown.Wait()
		}
	})
}
