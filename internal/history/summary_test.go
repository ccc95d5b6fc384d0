package history_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"backburn/internal/history"
	"backburn/results"
)

// noon is in the middle of an hour.
var noon = time.Date(2026, 3, 14, 12, 30, 0, 0, time.UTC)

func verdict(job, outcome string, at time.Time, change ...func(*results.Data)) results.Event {
	d := results.Data{
		JobID:      job,
		Source:     "mail",
		Filename:   job + ".exe",
		Verdict:    outcome,
		ReceivedAt: at.Add(-10 * time.Second),
		DecidedAt:  at,
	}
	for _, c := range change {
		c(&d)
	}

	return results.Event{Type: results.Verdict, Time: at, Data: d}
}

func failed(job string, reason results.Reason, at time.Time) results.Event {
	return results.Event{Type: results.Failed, Time: at, Data: results.Data{
		JobID:      job,
		Source:     "proxy",
		ReceivedAt: at,
		Error:      &results.Error{Reason: reason, Message: "it cannot be"},
	}}
}

func summaryOf(events ...results.Event) *history.Summary {
	b := history.NewSummary(history.DefaultLimits())
	for i, e := range events {
		b.Add(e, uint64(i+1))
	}

	return b
}

func TestHoursSayWhatHappened(t *testing.T) {
	t.Parallel()
	submitted := verdict("up", "", noon.Add(-2*time.Hour))
	submitted.Type = results.Submitted
	changed := verdict("up", "malware", noon)
	changed.Type = results.Changed
	b := summaryOf(
		verdict("ancient", "malware", noon.Add(-50*time.Hour)),
		verdict("yesterday", "malware", noon.Add(-24*time.Hour)),
		submitted,
		verdict("up", "benign", noon.Add(-time.Hour), func(d *results.Data) { d.ReceivedAt = noon.Add(-2 * time.Hour) }),
		verdict("a", "malware", noon), verdict("b", "phishing", noon), failed("c", results.TooLarge, noon),
		verdict("odd", "<b>", noon), changed,
	)

	o := b.Overview(noon)
	if len(o.Hours) != history.Hours || !o.Hours[23].Start.Equal(noon.Truncate(time.Hour)) {
		t.Fatalf("%d hours, the last from %s", len(o.Hours), o.Hours[len(o.Hours)-1].Start)
	}
	last, before := o.Hours[23], o.Hours[22]
	if want := map[string]int{"malware": 1, "phishing": 1, "(other)": 1}; !maps.Equal(last.Verdicts, want) {
		t.Errorf("this hour: %v, want %v", last.Verdicts, want)
	}
	if last.Failed["too_large"] != 1 || last.Changed != 1 || last.Arrived != 4 {
		t.Errorf("this hour: %+v", last)
	}
	if before.Verdicts["benign"] != 1 || before.Arrived != 0 || o.Hours[21].Arrived != 1 {
		t.Errorf("the job that was uploaded: decided %+v, arrived %+v", before, o.Hours[21])
	}
	sum := 0
	for _, h := range o.Hours {
		sum += h.Verdicts["malware"]
	}
	if sum != 1 {
		t.Errorf("in 24 hours: %d malware, want only that of this hour", sum)
	}
	if later := b.Overview(noon.Add(30 * time.Hour)); later.Hours[23].Arrived != 0 || later.Took.Verdicts != 0 {
		t.Errorf("a day later: %+v", later)
	}
}

func TestTimeToVerdict(t *testing.T) {
	t.Parallel()
	var events []results.Event
	for i := range 100 {
		took := time.Duration(i+1) * time.Second
		events = append(events, verdict(fmt.Sprint(i), "benign", noon, func(d *results.Data) { d.ReceivedAt = noon.Add(-took) }))
	}
	got := summaryOf(events...).Overview(noon).Took
	if got.Verdicts != 100 || math.Abs(got.P50-50) > 50*.05 || math.Abs(got.P95-95) > 95*.05 {
		t.Errorf("%+v, want 50 s and 95 s within 5 %%", got)
	}
}

func TestSearch(t *testing.T) {
	t.Parallel()
	sum := "ab" + strings.Repeat("0f", 31)
	b := summaryOf(
		verdict("j1", "benign", noon.Add(-time.Hour), func(d *results.Data) { d.Path = "/srv/In/Angebot Müller.DOCX"; d.Filename = "Angebot Müller.DOCX" }),
		verdict("j2", "malware", noon.Add(-time.Minute), func(d *results.Data) { d.SHA256, d.MD5 = sum, strings.Repeat("9a", 16) }),
		verdict("j3", "phishing", noon, func(d *results.Data) {
			d.Metadata = map[string]string{"message-id": "<CAF7@mail.example>", "client": "203.0.113.9"}
			d.URL = "https://evil.example/Login"
		}),
		failed("j4", results.TooLarge, noon),
		verdict("j5", "malware", noon, func(d *results.Data) { d.SHA256, d.Source = sum, "proxy" }),
	)
	for name, tc := range map[string]struct {
		q    history.Query
		want string
	}{
		"everything":             {history.Query{}, "j5 j4 j3 j2 j1"},
		"a name, any case":       {history.Query{Text: "angebot mÜLLER"}, "j1"},
		"words in any order":     {history.Query{Text: "docx srv"}, "j1"},
		"a path":                 {history.Query{Text: "/srv/in"}, "j1"},
		"a hash":                 {history.Query{Text: strings.ToUpper(sum)}, "j5 j2"},
		"beginning, even":        {history.Query{Text: "ab0f0f"}, "j5 j2"},
		"beginning, odd":         {history.Query{Text: "ab0f0"}, "j5 j2"},
		"another beginning":      {history.Query{Text: "ab0f1"}, ""},
		"an MD5":                 {history.Query{Text: strings.Repeat("9a", 16)}, "j2"},
		"a job":                  {history.Query{Text: "j3"}, "j3"},
		"a job with its source":  {history.Query{Text: "proxy/j4"}, "j4"},
		"a mail":                 {history.Query{Text: "<caf7@MAIL.example>"}, "j3"},
		"a link":                 {history.Query{Text: "evil.example/login"}, "j3"},
		"other metadata":         {history.Query{Text: "203.0.113.9"}, ""},
		"across two texts":       {history.Query{Text: "j2j2"}, ""},
		"a verdict":              {history.Query{Outcomes: []string{"malware"}}, "j5 j2"},
		"two":                    {history.Query{Outcomes: []string{"malware", "phishing"}}, "j5 j3 j2"},
		"failures":               {history.Query{Outcomes: []string{"failed"}}, "j4"},
		"an outcome nobody has":  {history.Query{Outcomes: []string{"c2"}}, ""},
		"a source":               {history.Query{Sources: []string{"proxy"}}, "j5 j4"},
		"a source nobody knows":  {history.Query{Sources: []string{"nobody"}}, ""},
		"since":                  {history.Query{Since: noon}, "j5 j4 j3"},
		"until":                  {history.Query{Until: noon}, "j2 j1"},
		"older":                  {history.Query{Before: 3}, "j2 j1"},
		"newer":                  {history.Query{After: 3}, "j5 j4"},
		"some":                   {history.Query{Limit: 2}, "j5 j4"},
		"a word and its verdict": {history.Query{Text: "mail", Outcomes: []string{"malware"}}, "j2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, h := range b.Search(tc.q).Hits {
				got = append(got, h.Job)
			}
			if strings.Join(got, " ") != tc.want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), tc.want)
			}
		})
	}
	if f := b.Search(history.Query{Limit: 1}); f.Matches != 5 || f.Last != 5 || f.Older {
		t.Errorf("%+v", f)
	}
}

// A hit has the event's values unchanged, even unusual ones, and no metadata.
func TestHits(t *testing.T) {
	t.Parallel()
	const odd = "a\n\x00</script>\u202Efdp.exe"
	b := summaryOf(verdict("j", "malware", noon, func(d *results.Data) {
		d.Path = "/q/" + odd
		d.Filename = odd
		d.Size = 7
		d.Filetype = "PE"
		d.Basis = results.BasisLookup
		d.SHA256, d.URL = strings.Repeat("0a", 32), "http://x"
	}), failed("f", results.TooLarge, noon))

	hits := b.Search(history.Query{}).Hits
	got := hits[1]
	want := history.Hit{
		Seq:      1,
		Time:     noon,
		Event:    "verdict",
		Outcome:  "malware",
		Job:      "j",
		Source:   "mail",
		Filename: "</script>\u202Efdp.exe",
		Path:     "/q/" + odd,
		URL:      "http://x",
		SHA256:   strings.Repeat("0a", 32),
		Size:     7,
		Filetype: "PE",
		Basis:    "lookup",
		Took:     10,
	}
	want.Filename = odd
	got.Filename = strings.Clone(got.Filename)
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if hits[0].Message != "it cannot be" || hits[0].Event != "failed" || hits[0].Outcome != "too_large" {
		t.Errorf("%+v", hits[0])
	}
}

// Same counts jobs, not events, and does not count the job itself.
func TestSame(t *testing.T) {
	t.Parallel()
	b := history.NewSummary(history.DefaultLimits())
	sum := strings.Repeat("0f", 32)
	seq := uint64(0)
	add := func(source, id, sha string, kind results.Type) {
		seq++
		b.Add(results.Event{Type: kind, Time: time.Unix(int64(seq), 0), Data: results.Data{Source: source, JobID: id, SHA256: sha, Verdict: "benign"}}, seq)
	}
	add("mail", "other", strings.Repeat("0e", 32), results.Verdict)
	for i := range 30 {
		add("mail", fmt.Sprint("j", i), sum, results.Verdict)
		add("mail", fmt.Sprint("j", i), sum, results.Changed)
	}
	add("proxy", "j0", sum, results.Verdict)

	var want [32]byte
	_, err := hex.Decode(want[:], []byte(sum))
	if err != nil {
		t.Fatal(err)
	}
	hits, jobs := b.SameContents(want, "mail", "j0", 20)
	if jobs != 30 || len(hits) != 20 || hits[0].Source != "proxy" || hits[1].Job != "j29" || hits[2].Job != "j28" {
		t.Errorf("%d jobs, %d hits, %+v", jobs, len(hits), hits[:3])
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	const events = 50_000
	for name, limits := range map[string]history.Limits{
		"events": {Events: 10_000, Bytes: 1 << 30},
		"bytes":  {Events: 1 << 30, Bytes: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := history.NewSummary(limits)
			for i := range events {
				b.Add(verdict(fmt.Sprintf("job-%06d", i), "benign", noon.Add(time.Duration(i)*time.Second), func(d *results.Data) {
					d.Path = "/" + strings.Repeat("x", 60)
				}), uint64(i+1))
			}
			o := b.Overview(noon)
			if o.Events == 0 || o.Events > 15_000 || !o.Older {
				t.Errorf("%d events are kept; older: %v", o.Events, o.Older)
			}
			f := b.Search(history.Query{Text: "job-"})
			if f.Matches != o.Events || f.Hits[0].Job != fmt.Sprintf("job-%06d", events-1) || !f.Older || f.From.Equal(noon) {
				t.Errorf("found %d of %d; %+v", f.Matches, o.Events, f)
			}
		})
	}
}

// Foreign names, sources and outcomes are bounded.
func TestHostileEventsAreBounded(t *testing.T) {
	t.Parallel()
	b := summaryOf()
	huge := strings.Repeat("ü", 1<<20)
	for i := range 20_000 {
		b.Add(verdict(fmt.Sprint(i), fmt.Sprint("outcome-", i), noon, func(d *results.Data) {
			d.Source, d.Filetype = fmt.Sprint("source-", i), fmt.Sprint("type-", i)
			if i < 10 {
				d.Filename = huge
				d.Path = huge
				d.URL = huge
				d.MD5 = huge
				d.JobID = huge
			}
		}), uint64(i+1))
	}
	o := b.Overview(noon)
	if len(o.Sources) != 200 || len(o.Hours[23].Verdicts) != 1 {
		t.Errorf("%d sources, %d outcomes", len(o.Sources), len(o.Hours[23].Verdicts))
	}
	if h := b.Search(history.Query{Text: "source-19999/19999"}).Hits; len(h) != 1 || h[0].Source != "source-19999" {
		t.Errorf("%+v", h)
	}
	if h := b.Search(history.Query{After: 0, Before: 2}).Hits[0]; len(h.Path) > 2048 || !strings.HasPrefix(huge, h.Path) {
		t.Errorf("a path of %d bytes", len(h.Path))
	}
}

func TestAddTwiceIsHarmless(t *testing.T) {
	t.Parallel()
	b := summaryOf(verdict("a", "benign", noon))
	b.Add(verdict("a", "benign", noon), 1)
	if o := b.Overview(noon); o.Events != 1 || o.Hours[23].Verdicts["benign"] != 1 || o.Hours[23].Arrived != 1 {
		t.Errorf("%+v", o)
	}
}

// largeSummary is a summary with many jobs and realistic paths.
func largeSummary(jobs int) *history.Summary {
	b := history.NewSummary(history.DefaultLimits())
	outcomes := []string{"benign", "benign", "benign", "malware", "grayware"}
	for i := range jobs {
		b.Add(verdict(fmt.Sprintf("01JD4S9V5K6ZQ8T7R2M%07d", i), outcomes[i%len(outcomes)], noon.Add(time.Duration(i)*time.Second), func(d *results.Data) {
			d.SHA256 = fmt.Sprintf("%064x", i*2654435761)
			d.Filename = fmt.Sprintf("Invoice %07d.docx", i)
			d.Path = "/srv/mail/quarantine/incoming/attachments/" + d.Filename
		}), uint64(i+1))
	}

	return b
}

// The slowest of many searches must take less than 200 ms; TestSearchIsQuick prints all.
var searches = map[string]history.Query{
	"nothing is asked":    {},
	"a name":              {Text: "invoice 0123456"},
	"a name nobody has":   {Text: "no such file anywhere"},
	"a hash":              {Text: fmt.Sprintf("%064x", 123456*2654435761)},
	"one that nobody has": {Text: strings.Repeat("fe", 32)},
	"a letter":            {Text: "e"},
	"verdict and source":  {Text: "docx", Outcomes: []string{"malware"}, Sources: []string{"mail"}},
}

func TestSearchIsQuick(t *testing.T) {
	const jobs = 300_000
	before := heap()
	b := largeSummary(jobs)
	took := heap() - before
	t.Logf("%d jobs take %d MB", jobs, took>>20)
	if o := b.Overview(noon); o.Events != jobs || o.Older {
		t.Errorf("%d events are kept", o.Events)
	}
	if took > 150<<20 {
		t.Errorf("%d jobs take %d MB", jobs, took>>20)
	}
	for _, name := range slices.Sorted(maps.Keys(searches)) {
		start := time.Now()
		f := b.Search(searches[name])
		t.Logf("%-20s %8s, %d found", name, time.Since(start).Round(time.Millisecond/10), f.Matches)
	}
	if f := b.Search(searches["a hash"]); f.Matches != 1 {
		t.Errorf("%d have the hash", f.Matches)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)

	return m.HeapAlloc
}

func BenchmarkSearch(b *testing.B) {
	all := largeSummary(300_000)
	for name, q := range searches {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				all.Search(q)
			}
		})
	}
}
