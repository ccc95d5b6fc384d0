package pipeline_test

import (
	"testing"
	"time"

	"backburn/pipeline"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestWishes(t *testing.T) {
	t.Parallel()
	malware := pipeline.Sample{State: pipeline.StateVerdict, Verdict: int(wildfire.Malware)}
	benign := pipeline.Sample{State: pipeline.StateVerdict, Verdict: int(wildfire.Benign)}
	pending := pipeline.Sample{State: pipeline.StatePending}
	never := pipeline.Rule{Source: "quiet", Report: pipeline.ReportNever, Submit: pipeline.SubmitAlways}
	always := pipeline.Rule{Source: "vip", Report: pipeline.ReportAlways, Submit: pipeline.SubmitLookup}
	secret := pipeline.Rule{Source: "legal", Submit: pipeline.SubmitNever}

	for name, tc := range map[string]struct {
		rules  []pipeline.Rule
		listed []string
		sample pipeline.Sample
		from   []string        // sources of the jobs, in order
		fetch  bool            // whether the report is wanted
		gets   map[string]bool // sources, and whether they get it
	}{
		"no rules, listed":           {nil, []string{"malware"}, malware, []string{"mail"}, true, map[string]bool{"mail": true}},
		"no rules, another verdict":  {nil, []string{"malware"}, benign, []string{"mail"}, false, map[string]bool{"mail": false}},
		"no verdict":                 {[]pipeline.Rule{always}, []string{"malware"}, pending, []string{"vip"}, false, nil},
		"never":                      {[]pipeline.Rule{never}, []string{"malware"}, malware, []string{"quiet"}, false, map[string]bool{"quiet": false}},
		"never, and another source":  {[]pipeline.Rule{never}, []string{"malware"}, malware, []string{"quiet", "mail"}, true, map[string]bool{"quiet": false, "mail": true}},
		"always, another verdict":    {[]pipeline.Rule{always}, []string{"malware"}, benign, []string{"mail", "vip"}, true, map[string]bool{"vip": true, "mail": false}},
		"always, and nothing listed": {[]pipeline.Rule{always}, nil, malware, []string{"mail", "vip"}, true, map[string]bool{"vip": true, "mail": false}},
		"nothing may leave":          {[]pipeline.Rule{secret, always}, []string{"malware"}, malware, []string{"legal"}, true, map[string]bool{"legal": true}},
		"nothing may leave, and others do not want it": {
			[]pipeline.Rule{secret, never}, []string{"malware"}, malware, []string{"quiet", "legal"}, false, map[string]bool{"legal": true},
		},
	} {
		cfg := pipeline.DefaultConfig()
		cfg.Rules = tc.rules
		cfg.ReportVerdicts = tc.listed
		s := tc.sample
		for _, source := range tc.from {
			j := pipeline.Job{ID: "j", Source: source, Kind: pipeline.KindFile}
			cfg.RecordWish(&s, j, cfg.RulingFor(pipeline.FactsOf(j, nil), j))
		}
		if got := cfg.WantsReport(sha256Hex("x"), s); got != tc.fetch {
			t.Errorf("%s: wanted: %v, want %v", name, got, tc.fetch)
		}
		for source, want := range tc.gets {
			if got := cfg.WantsReportFor(source, s); got != want {
				t.Errorf("%s: %s gets it: %v, want %v", name, source, got, want)
			}
			if got := cfg.OweReport(&pipeline.Sample{State: s.State, Verdict: s.Verdict, Wishes: s.Wishes, Report: &pipeline.ReportNote{}}, source, time.Now()); got != want {
				t.Errorf("%s: %s is owed it: %v, want %v", name, source, got, want)
			}
		}
		if want := len(tc.listed) > 0 || len(tc.rules) > 0 && tc.rules[len(tc.rules)-1].Report == pipeline.ReportAlways; cfg.Reporting() != want {
			t.Errorf("%s: reports are fetched at all: %v, want %v", name, cfg.Reporting(), want)
		}
	}
}

// Of a source's jobs, the one that asks for the most counts, in whatever order they arrive.
func TestWishesOnlyGrow(t *testing.T) {
	t.Parallel()
	var s pipeline.Sample
	for i, step := range []struct {
		wish    pipeline.Wish
		changes bool
	}{
		{pipeline.ReportNever, true},
		{pipeline.ReportNever, false},
		{pipeline.ReportByVerdict, true},
		{pipeline.ReportNever, false},
		{pipeline.ReportAlways, true},
		{pipeline.ReportByVerdict, false},
	} {
		before := s
		if got := s.RecordWish("mail", step.wish); got != step.changes || (s != before) != step.changes {
			t.Errorf("step %d: changed: %v, want %v", i, got, step.changes)
		}
	}
	if got := (*s.Wishes)["mail"]; got != pipeline.ReportAlways {
		t.Errorf("the recorded wish is %q", got)
	}
}

// The policy's wishes about a report outlive an expired verdict.
func TestWishesOutliveVerdicts(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := pipeline.Sample{State: pipeline.StateVerdict, CheckedAt: now.Add(-365 * 24 * time.Hour)}
	s.RecordWish("mail", pipeline.ReportAlways)
	p := pipeline.Circumstances{Config: pipeline.DefaultConfig(), Ruling: pipeline.Unruled(), Self: "w"}
	j := pipeline.Job{ID: "j", Source: "mail", Kind: pipeline.KindFile}
	for name, e := range map[string]pipeline.News{
		"claimed":   pipeline.UploadTurn{Owner: "w"},
		"looked up": pipeline.Answered{HasEntry: true, Verdict: wildfire.Malware},
	} {
		if _, next := pipeline.Decide(s, j, e, p, now); next.Wishes == nil || next == s {
			t.Errorf("%s: %+v", name, next)
		}
	}
}

// A publisher's claims about a file cannot lead to more reports.
func TestPublishersCannotWishForMore(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ said, limit, want pipeline.Wish }{
		"more":  {pipeline.ReportAlways, pipeline.ReportByVerdict, pipeline.ReportByVerdict},
		"less":  {pipeline.ReportNever, pipeline.ReportAlways, pipeline.ReportNever},
		"limit": {pipeline.ReportAlways, pipeline.ReportNever, pipeline.ReportNever},
	} {
		cfg := pipeline.DefaultConfig()
		cfg.Rules = []pipeline.Rule{
			{Metadata: map[string]string{"tlp": "*"}, Submit: pipeline.SubmitAlways, Report: tc.said},
			{Submit: pipeline.SubmitAlways, Report: tc.limit},
		}
		j := pipeline.Job{ID: "j", Source: "mail", Kind: pipeline.KindFile, Metadata: map[string]string{"tlp": "red"}}
		if got := cfg.RulingFor(pipeline.FactsOf(j, nil), j).Report; got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// The policy decides for which files reports are fetched, and which sources get them.
func TestPolicySelectsReports(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.ReportVerdicts = []string{"malware"}
	f.cfg.Rules = []pipeline.Rule{
		{Source: "vip", Submit: pipeline.SubmitAlways, Report: pipeline.ReportAlways},
		{Source: "quiet", Submit: pipeline.SubmitAlways, Report: pipeline.ReportNever},
	}
	f.startWorker()
	f.startWorker()
	f.submitRaw("vip-good", "vip", "good.exe", "MZ good")
	f.submitRaw("mail-good", "mail", "good.exe", "MZ good")
	f.submitRaw("mail-fine", "mail", "fine.exe", "MZ fine")
	f.submitRaw("quiet-bad", "quiet", "malware.exe", "MZ secret")
	f.submitRaw("quiet-both", "quiet", "malware.exe", "MZ both")
	f.submitRaw("mail-both", "mail", "malware.exe", "MZ both")
	all := f.waitEventsUntil(func(es events) bool {
		return len(es.final()) == 6 && len(es.reportsOf("vip")) == 1 && len(es.reportsOf("mail")) == 1
	})

	if ev := all.reportsOf("vip")[0]; ev.Data.JobID != "vip-good" || ev.Data.Verdict != "benign" || ev.Data.Report.Status != results.ReportAvailable {
		t.Errorf("vip gets %+v", ev)
	}
	if id := all.reportsOf("mail")[0].Data.JobID; id != "mail-both" {
		t.Errorf("mail gets the report about %s", id)
	}

	// A later source also gets what its rule says, and its job can be the one that causes the
	// fetch.
	f.submitRaw("vip-secret", "vip", "malware.exe", "MZ secret")
	f.submitRaw("quiet-good", "quiet", "good.exe", "MZ good")
	f.submitRaw("vip-fine", "vip", "fine.exe", "MZ fine")
	f.submitRaw("vip-both", "vip", "malware.exe", "MZ both")
	all = f.waitEventsUntil(func(es events) bool { return len(es.final()) == 10 && len(es.reportsOf("vip")) == 4 })
	if n := len(all.ofType(results.Reported)); n != 5 {
		t.Errorf("%d report events, want 5\n%s", n, all)
	}
	for _, body := range []string{"MZ good", "MZ fine", "MZ secret", "MZ both"} {
		if n := f.countRequests(wildfire.OpReport, sha256Hex(body)); n != 1 {
			t.Errorf("%q: %d questions for the report, want 1", body, n)
		}
	}
	if want := wildfiretest.IndicatorsOf(sha256Hex("MZ secret")).Domain; !hasDomain(all.reportsOf("vip"), want) {
		t.Errorf("vip gets nothing about %s", want)
	}
}

func hasDomain(es events, domain string) bool {
	for _, e := range es {
		for _, d := range e.Data.Report.Domains {
			if d == domain {
				return true
			}
		}
	}

	return false
}
