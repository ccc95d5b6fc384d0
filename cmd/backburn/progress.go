package main

import (
	"fmt"
	"io"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"backburn/internal/cli"
	"backburn/results"
)

// progress shows the progress of files: bars on a terminal, otherwise one line per event.
type progress struct {
	w                    io.Writer
	bars                 *mpb.Progress
	submitted, decided   *mpb.Bar
	submittedN, decidedN int
}

func newProgress(w io.Writer, total int) *progress {
	p := &progress{w: w}
	if !cli.IsTerminal(w) {
		return p
	}

	p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
	bar := func(name string) *mpb.Bar {
		return p.bars.AddBar(int64(total),
			mpb.PrependDecorators(decor.Name(name, decor.WC{W: 12, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d"), decor.Elapsed(decor.ET_STYLE_GO, decor.WC{W: 6})))
	}
	p.submitted, p.decided = bar("submitted"), bar("decided")

	return p
}

// event processes one event.
func (p *progress) event(e results.Event) {
	if p.bars == nil {
		fmt.Fprintf(p.w, "%-10s %-16s %s\n", e.Type.Name(), e.Outcome(), e.Data.Path)
		return
	}

	if e.Type.Final() {
		p.decidedN++
		p.decided.SetCurrent(int64(p.decidedN))

		return
	}

	p.submittedN++
	p.submitted.SetCurrent(int64(p.submittedN))
}

// end stops the bars where they are, because some files are never uploaded.
func (p *progress) end() {
	if p.bars == nil {
		fmt.Fprintln(p.w)
		return
	}
	p.submitted.Abort(false)
	p.decided.Abort(false)
	p.bars.Wait()
	fmt.Fprintln(p.w)
}
