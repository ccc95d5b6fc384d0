package pipeline

import (
	"maps"
	"slices"
	"time"

	"backburn/wildfire"
)

// Wish records a job's wish. It reports whether the sample changed.
func (s *Sample) Wish(source string, w Wish) bool {
	wishes := ReportWishes{}
	if s.Wishes != nil {
		wishes = *s.Wishes
	}
	recorded, known := wishes[source]
	if known && recorded.asks() >= w.asks() || !known && len(wishes) >= maxReportSources {
		return false
	}

	wishes = maps.Clone(wishes)
	wishes[source] = w
	s.Wishes = &wishes

	return true
}

// ruleOnReports reports whether a rule says anything about reports.
func (c Config) ruleOnReports() bool {
	return slices.ContainsFunc(c.Rules, func(r Rule) bool { return r.Report != ReportByVerdict })
}

// Reporting reports whether there are reports to fetch at all.
func (c Config) Reporting() bool {
	return len(c.ReportVerdicts) > 0 ||
		slices.ContainsFunc(c.Rules, func(r Rule) bool { return r.Report == ReportAlways })
}

// RecordWish records in a sample whether a job's ruling asks for the report. A job whose hash must
// not leave never causes a fetch: it gets a report that was fetched for others, unless its rule
// refuses that as well. RecordWish reports whether the sample changed.
func (c Config) RecordWish(s *Sample, j Job, r Ruling) bool {
	if !c.ruleOnReports() || j.Kind == KindURL || r.Submit == SubmitNever && r.Report != ReportNever {
		return false
	}

	return s.Wish(j.Source, r.Report)
}

// listed reports whether reports.verdicts names the verdict of a sample.
func (c Config) listed(s Sample) bool {
	return slices.Contains(c.ReportVerdicts, wildfire.Verdict(s.Verdict).String())
}

// WantsReport reports whether the report about a sample is to be fetched.
func (c Config) WantsReport(key string, s Sample) bool {
	switch {
	case s.State != StateVerdict || IsLink(key):
		return false
	case s.Wishes == nil:
		return c.listed(s)
	}

	for _, w := range *s.Wishes {
		if w.wants(c.listed(s)) {
			return true
		}
	}

	return false
}

// WantsReportFor reports whether a source gets the report about a sample, once it is there.
func (c Config) WantsReportFor(source string, s Sample) bool {
	var w Wish
	if s.Wishes != nil {
		w = (*s.Wishes)[source]
	}

	return w.wants(c.listed(s))
}

// Owe is Sample.Owe for a source that gets the report.
func (c Config) Owe(s *Sample, source string, now time.Time) bool {
	return c.WantsReportFor(source, *s) && s.Owe(source, now)
}
