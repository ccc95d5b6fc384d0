package history_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"backburn/internal/history"
	"backburn/results"
)

// Search finds the same events as a simple loop over all of them, whatever their case, language and
// chunk.
func TestSearchMatchesALoop(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(17, 4))
	parts := []string{"a", "B", "Z9", "ü", "Ü", "ß", "Ж", "ж", "文", "İ", " ", ".", "0f", "DE", "/", "x", "@", "\xff"}
	text := func(n int) string {
		var b strings.Builder
		for range 1 + r.IntN(n) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		return b.String()
	}

	b := history.NewSummary(history.DefaultLimits())
	type one struct {
		texts  []string
		lower  []string // texts in lower case
		sha256 string
	}
	var all []one
	for i := range 9_000 {
		at := noon.Add(time.Duration(i) * time.Second)
		e := verdict(fmt.Sprintf("Job-%d", i), "benign", at, func(d *results.Data) {
			d.Filename = text(5)
			d.Path = "/srv/" + text(4) + "/" + text(5)
			d.MD5 = ""
			d.SHA256 = fmt.Sprintf("%08x%056x", r.Uint32(), i)
		})
		b.Add(e, uint64(i+1))
		d := e.Data
		o := one{texts: []string{d.Source + "/" + d.JobID, d.Filename, d.Path}, sha256: d.SHA256}
		for _, s := range o.texts {
			o.lower = append(o.lower, strings.ToLower(s))
		}
		all = append(all, o)
	}

	for range 120 {
		var words []string
		for range 1 + r.IntN(3) {
			words = append(words, strings.Fields(text(3) + " a")[0])
		}
		switch r.IntN(4) {
		case 0:
			words = append(words, fmt.Sprintf("JOB-%d", r.IntN(len(all))))
		case 1:
			words = []string{all[r.IntN(len(all))].sha256[:4+r.IntN(9)]}
		}

		var want []uint64
		for i, o := range all {
			has := true
			for _, w := range words {
				w = strings.ToLower(w)
				in := len(w) >= 4 && strings.HasPrefix(o.sha256, w)
				for _, s := range o.lower {
					in = in || strings.Contains(s, w)
				}
				has = has && in
			}
			if has {
				want = append(want, uint64(i+1))
			}
		}

		f := b.Search(history.Query{Text: strings.Join(words, " ")})
		if f.Matches != len(want) {
			t.Fatalf("%q: %d match, want %d", words, f.Matches, len(want))
		}
		for i, h := range f.Hits {
			o := all[h.Seq-1]
			if h.Seq != want[len(want)-1-i] || h.Path != o.texts[2] || h.Source+"/"+h.Job != o.texts[0] {
				t.Fatalf("%q: hit %d is %s", words, i, cmp.Diff(o.texts, []string{h.Source + "/" + h.Job, h.Filename, h.Path}))
			}
		}
	}
}
