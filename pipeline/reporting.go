package pipeline

import (
	"maps"
	"slices"
	"time"

	"backburn/wildfire"
)

// RecordWish records the wish of one of a source's jobs. It reports whether the sample changed.
func (s *Sample) RecordWish(source string, w Wish) bool {
	wishes := ReportWishes{}
	if s.Wishes != nil {
		wishes = *s.Wishes
	}
	recorded, known := wishes[source]
	if known && recorded.rank() >= w.rank() || !known && len(wishes) >= maxReportSources {
		return false
	}

	wishes = maps.Clone(wishes)
	wishes[source] = w
	s.Wishes = &wishes

	return true
}

// hasReportRule reports whether a rule says anything about reports.
func (c Config) hasReportRule() bool {
	return slices.ContainsFunc(c.Rules, func(r Rule) bool { return r.Report != ReportByVerdict })
}

// Reporting is true if reports.verdicts or a rule asks for reports.
func (c Config) Reporting() bool {
	return len(c.ReportVerdicts) > 0 ||
		slices.ContainsFunc(c.Rules, func(r Rule) bool { return r.Report == ReportAlways })
}

// RecordWish records in a sample whether a job's ruling asks for the report. It records no wish for
// a job whose hash must not leave, so that the job never causes a fetch, except for ReportNever. If
// the report is fetched for others, WantsReportFor then decides by reports.verdicts whether it is
// published for the source of that job. RecordWish reports whether the sample changed.
func (c Config) RecordWish(s *Sample, j Job, r Ruling) bool {
	if !c.hasReportRule() || j.Kind == KindURL || r.Submit == SubmitNever && r.Report != ReportNever {
		return false
	}

	return s.RecordWish(j.Source, r.Report)
}

// reportsVerdict reports whether reports.verdicts names the verdict of a sample.
func (c Config) reportsVerdict(s Sample) bool {
	return slices.Contains(c.ReportVerdicts, wildfire.Verdict(s.Verdict).String())
}

// WantsReport reports whether the report about a sample is to be fetched.
func (c Config) WantsReport(key string, s Sample) bool {
	switch {
	case s.State != StateVerdict || IsLink(key):
		return false
	case s.Wishes == nil:
		return c.reportsVerdict(s)
	}

	for _, w := range *s.Wishes {
		if w.wants(c.reportsVerdict(s)) {
			return true
		}
	}

	return false
}

// WantsReportFor reports whether the report about a sample is published for a source.
func (c Config) WantsReportFor(source string, s Sample) bool {
	var w Wish
	if s.Wishes != nil {
		w = (*s.Wishes)[source]
	}

	return w.wants(c.reportsVerdict(s))
}

// OweReport calls Sample.OweReport if the report is published for the source. Otherwise it returns
// false.
func (c Config) OweReport(s *Sample, source string, now time.Time) bool {
	return c.WantsReportFor(source, *s) && s.OweReport(source, now)
}
