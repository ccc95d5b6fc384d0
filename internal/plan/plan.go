// Package plan estimates the cost of submitting many files to WildFire: which contents there are,
// which of them WildFire knows, which the policy withholds, and how many days of the budget the
// rest needs. It uploads nothing.
package plan

import (
	"math"
	"path/filepath"
	"slices"
	"time"

	"backburn/pipeline"
	"backburn/wildfire"
)

// Contents is what one or more files with the same SHA-256 contain.
type Contents struct {
	File   File // the first file among those with the most permissive ruling
	Ruling pipeline.Ruling
	Files  int

	Answer    *Answer // WildFire's answer; nil: not asked
	FromFleet bool    // the answer is the fleet's recorded verdict
}

// MayAsk reports whether WildFire may be asked about the hash.
func (c *Contents) MayAsk() bool { return c.Ruling.Submit != pipeline.SubmitNever }

// NeedsUpload reports whether the contents would be uploaded: the policy allows it, and WildFire
// was asked and does not know them.
func (c *Contents) NeedsUpload() bool {
	return c.Ruling.Submit == pipeline.SubmitAlways && c.Answer != nil && c.Answer.Verdict == wildfire.Unknown
}

// Inventory is all contents that were found.
type Inventory struct {
	Source string          // source of the jobs that the files would become
	Config pipeline.Config // its policy and limits

	all      map[string]*Contents
	order    []string
	files    int
	bytes    int64
	failed   int
	empty    int
	tooLarge int
}

// Job returns the job that a file would become.
func (v *Inventory) Job(f File) pipeline.Job {
	j := pipeline.Job{
		ID:       "plan-" + f.SHA256,
		Source:   v.Source,
		Priority: pipeline.Bulk,
		Version:  1,
		Kind:     pipeline.KindFile,
		Size:     f.Size,
		SHA256:   f.SHA256,
	}
	j.Filename, j.FilenameB64 = pipeline.EncodeName(filepath.Base(f.Path))
	j.Path, j.PathB64 = pipeline.EncodeName(filepath.ToSlash(f.Path))

	return j
}

// Add adds a file.
func (v *Inventory) Add(f File) {
	v.files++
	v.bytes += f.Size
	switch {
	case f.Size == 0:
		v.empty++
		return
	case f.Size > v.Config.SizeLimit(v.Source):
		v.tooLarge++
		return
	}

	j := v.Job(f)
	ruling := v.Config.RulingFor(pipeline.FactsOf(j, f.Types), j)
	c := v.all[f.SHA256]
	if c == nil {
		if v.all == nil {
			v.all = map[string]*Contents{}
		}
		v.all[f.SHA256] = &Contents{File: f, Ruling: ruling, Files: 1}
		v.order = append(v.order, f.SHA256)
		return
	}

	c.Files++
	if rank(ruling.Submit) < rank(c.Ruling.Submit) {
		c.File = f
		c.Ruling = ruling
	}
}

func rank(s pipeline.Submit) int { return slices.Index(pipeline.Submits(), s) }

// Fail records a file that cannot be read.
func (v *Inventory) Fail() { v.files++; v.failed++ }

// Contents lists the contents in the order in which they were found.
func (v *Inventory) Contents() []*Contents {
	list := make([]*Contents, len(v.order))
	for i, sum := range v.order {
		list[i] = v.all[sum]
	}

	return list
}

// ToAsk lists the contents without an answer about which the policy lets us ask WildFire.
func (v *Inventory) ToAsk() []*Contents {
	return slices.DeleteFunc(v.Contents(), func(c *Contents) bool { return !c.MayAsk() || c.Answer != nil })
}

// ToUpload lists the contents that would be uploaded.
func (v *Inventory) ToUpload() []*Contents {
	return slices.DeleteFunc(v.Contents(), func(c *Contents) bool { return !c.NeedsUpload() })
}

// Summary is the result. From Distinct on, it counts contents, not files.
type Summary struct {
	Files      int   `json:"files"`
	Bytes      int64 `json:"bytes"`
	Unreadable int   `json:"unreadable"`
	Empty      int   `json:"empty"`     // files that WildFire refuses
	TooLarge   int   `json:"too_large"` // likewise

	Distinct  int            `json:"distinct"`
	Known     map[string]int `json:"known"`      // by verdict
	KnownHere int            `json:"known_here"` // of Known: known to the fleet without a query
	Pending   int            `json:"pending"`    // WildFire is analyzing them
	Withheld  int            `json:"withheld"`   // the policy withholds them, and there is no verdict
	NotAsked  int            `json:"not_asked"`  // not asked, because there were too few queries
	Unknown   int            `json:"unknown"`    // they would be uploaded

	UnknownBytes int64     `json:"unknown_bytes"`
	Queries      int       `json:"queries"`           // queries that were made
	Days         int       `json:"days"`              // days of uploads, including today; 0: none
	DoneBy       time.Time `json:"done_by,omitzero"`  // when the last would be uploaded; absent without a limit
	PerDay       int       `json:"per_day,omitempty"` // uploads per day; absent without a limit
}

// Summarize returns the summary. left is how many uploads today's budget has left for jobs that are
// not urgent.
func (v *Inventory) Summarize(queries, left int, now time.Time) Summary {
	s := Summary{
		Files:      v.files,
		Bytes:      v.bytes,
		Unreadable: v.failed,
		Empty:      v.empty,
		TooLarge:   v.tooLarge,
		Distinct:   len(v.order),
		Known:      map[string]int{},
		Queries:    queries,
	}

	shares := map[pipeline.RuleBudget]int{}
	for _, c := range v.all {
		switch {
		case c.Answer != nil && c.Answer.Verdict.Final():
			s.Known[c.Answer.Verdict.String()]++
			if c.FromFleet {
				s.KnownHere++
			}
		case c.NeedsUpload():
			s.Unknown++
			s.UnknownBytes += c.File.Size
			for _, share := range c.Ruling.Budgets {
				shares[share]++
			}
		case !c.MayAsk(), c.Answer != nil && c.Answer.Verdict == wildfire.Unknown:
			s.Withheld++
		case c.Answer != nil:
			s.Pending++
		default:
			s.NotAsked++
		}
	}

	s.PerDay = v.Config.UploadsPerDay - v.Config.UploadsPerDay*v.Config.ReservePercent/100
	s.Days = daysFor(s.Unknown, left, s.PerDay)
	for share, n := range shares {
		s.Days = max(s.Days, daysFor(n, share.PerDay, share.PerDay))
	}
	if s.Days > 0 && (s.PerDay > 0 || len(shares) > 0) {
		y, m, d := now.UTC().Date()
		s.DoneBy = time.Date(y, m, d+s.Days, 0, 0, 0, 0, time.UTC)
	}

	return s
}

// daysFor returns how many days n uploads take: at most left of them today, and at most perDay on
// each further day. perDay is 0 for no limit.
func daysFor(n, left, perDay int) int {
	switch {
	case n == 0:
		return 0
	case perDay == 0 || n <= left:
		return 1
	}

	return 1 + int(math.Ceil(float64(n-max(left, 0))/float64(perDay)))
}
