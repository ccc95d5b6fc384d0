package pipeline

import (
	"maps"
	"slices"
	"time"

	"backburn/wildfire"
)

// RecordWish records the wish for a job of a source, unless the source's recorded wish asks for as
// much or more. If the sample has the wishes of maxReportSources sources, it adds no further
// source. It reports whether the sample changed.
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

// RecordWish records in a sample whether a job's ruling asks for the report. If the job's hash must
// not leave, RecordWish ignores every wish except ReportNever, so that the job never causes a
// fetch. If a source has only jobs with ignored wishes, it has no recorded wish. If
// the report is fetched for other sources, reports.verdicts decides whether it is published for
// such a source, too. RecordWish reports whether the sample changed.
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

// WantsReportFor reports whether the report about a sample is to be published for a source.
func (c Config) WantsReportFor(source string, s Sample) bool {
	var w Wish
	if s.Wishes != nil {
		w = (*s.Wishes)[source]
	}

	return w.wants(c.reportsVerdict(s))
}

// OweReport calls Sample.OweReport if the report is to be published for the source, according to
// WantsReportFor. Otherwise it returns false.
func (c Config) OweReport(s *Sample, source string, now time.Time) bool {
	return c.WantsReportFor(source, *s) && s.OweReport(source, now)
}
