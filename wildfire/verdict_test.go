package wildfire_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestEachVerdictCodeIsRead(t *testing.T) {
	t.Parallel()
	tests := []struct {
		code             wildfire.Verdict
		name             string
		final, malicious bool
	}{
		{0, "benign", true, false},
		{1, "malware", true, true},
		{2, "grayware", true, true},
		{3, "unrecognised", true, false},
		{4, "phishing", true, true},
		{5, "c2", true, true},
		{99, "unrecognised", true, false},
		{-100, "pending", false, false},
		{-101, "error", false, false},
		{-102, "unknown", false, false},
		{-103, "invalid_hash", false, false},
		{-104, "flawed", false, false},
		{-1, "unrecognised", false, false},
	}
	for _, tt := range tests {
		if got := tt.code.String(); got != tt.name || tt.code.Final() != tt.final || tt.code.Malicious() != tt.malicious {
			t.Errorf("%d: %s, final %v, malicious %v; want %+v", tt.code, got, tt.code.Final(), tt.code.Malicious(), tt)
		}
	}
}

// known returns a server that knows n samples, and their hashes. The verdict of sample i is i%3.
func known(n int, opts ...wildfiretest.Option) (*wildfiretest.Server, []string) {
	server := wildfiretest.New(opts...)
	hashes := make([]string, n)
	for i := range hashes {
		hashes[i] = sha256Of(fmt.Sprint(i))
		server.Know(wildfiretest.Known{SHA256: hashes[i], MD5: md5Of(fmt.Sprint(i)), Verdict: wildfire.Verdict(i % 3)})
	}

	return server, hashes
}

// TestVerdictIsReadInEachForm reads a verdict in every known format. An unreadable verdict is an
// error in a single call, and a record without HasVerdict in a list.
func TestVerdictIsReadInEachForm(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		style wildfiretest.Style
		want  wildfire.Verdict
		err   error // of the single call
		list  error // of the list
	}{
		"usual":              {0, 1, nil, nil},
		"one line":           {wildfiretest.OneLine, 1, nil, nil},
		"no declaration":     {wildfiretest.NoDeclaration, 1, nil, nil},
		"spaced declaration": {wildfiretest.SpacedDeclaration, 1, nil, nil},
		"blank lines":        {wildfiretest.LeadingBlankLines, 1, nil, nil},
		"reordered":          {wildfiretest.Reordered, 1, nil, nil},
		"no MD5":             {wildfiretest.MissingMD5, 1, nil, nil},
		"upper case":         {wildfiretest.UpperCaseHashes, 1, nil, nil},
		"spaces":             {wildfiretest.SpacedVerdict, 1, nil, nil},
		"unknown code":       {wildfiretest.UnknownCode, 99, nil, nil},
		"no content type":    {wildfiretest.NoContentType, 1, nil, nil},
		"chunked":            {wildfiretest.Chunked, 1, nil, nil},
		"unknown encoding":   {wildfiretest.UnknownEncoding, 1, nil, nil},
		"no verdict":         {wildfiretest.MissingVerdict, 0, wildfire.ErrNoVerdict, nil},
		"empty verdict":      {wildfiretest.EmptyVerdict, 0, wildfire.ErrNoVerdict, nil},
		"verdict in words":   {wildfiretest.TextVerdict, 0, wildfire.ErrNoVerdict, nil},
		"html":               {wildfiretest.HTML200, 0, wildfire.ErrAnswer, wildfire.ErrAnswer},
		"empty":              {wildfiretest.Empty200, 0, wildfire.ErrAnswer, wildfire.ErrAnswer},
		"truncated":          {wildfiretest.Truncated, 0, wildfire.ErrAnswer, wildfire.ErrAnswer},
		"document type":      {wildfiretest.WithDTD, 0, wildfire.ErrAnswer, wildfire.ErrAnswer},
		"error":              {wildfiretest.Error200, 0, wildfire.ErrRejected, wildfire.ErrRejected},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, hashes := known(2, wildfiretest.WithStyle(tt.style))
			client, _ := start(t, server)
			hash := hashes[1]

			record, err := client.Verdict(t.Context(), strings.ToUpper(hash))
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("single: got %v, want %v", err, tt.err)
			}
			if err == nil && (record.Verdict != tt.want || !record.HasVerdict || record.SHA256 != hash) {
				t.Errorf("single: got %+v, want %v", record, tt.want)
			}

			records, err := client.Verdicts(t.Context(), []string{hash})
			if !errors.Is(err, tt.list) || tt.list == nil && err != nil {
				t.Fatalf("list: got %v, want %v", err, tt.list)
			}
			if err == nil && (len(records) != 1 || records[0].Verdict != tt.want || records[0].HasVerdict != (tt.err == nil)) {
				t.Errorf("list: got %+v, want %v", records, tt.want)
			}
		})
	}
}

func TestMD5OfSeveralSamplesIsAmbiguous(t *testing.T) {
	t.Parallel()
	server, hashes := known(2)
	client, _ := start(t, server)
	record, err := client.Verdict(t.Context(), md5Of("1"))
	if err != nil || record.SHA256 != hashes[1] || record.Verdict != wildfire.Malware {
		t.Errorf("got %+v, %v", record, err)
	}
	server.SetStyle(wildfiretest.ManyForMD5)
	if _, err := client.Verdict(t.Context(), md5Of("1")); !errors.Is(err, wildfire.ErrAmbiguous) {
		t.Errorf("got %v, want ErrAmbiguous", err)
	}
}

func TestVerdictAboutAnotherSampleIsAnError(t *testing.T) {
	t.Parallel()
	server, hashes := known(1, wildfiretest.WithStyle(wildfiretest.WrongSHA256|wildfiretest.MissingMD5))
	client, _ := start(t, server)
	if record, err := client.Verdict(t.Context(), hashes[0]); !errors.Is(err, wildfire.ErrNoVerdict) {
		t.Errorf("got %+v, %v; want ErrNoVerdict", record, err)
	}
	if records, err := client.Verdicts(t.Context(), hashes); err != nil || len(records) != 0 {
		t.Errorf("got %+v, %v; want no records", records, err)
	}
}

func TestVerdictsAreInTheOrderOfTheHashes(t *testing.T) {
	t.Parallel()
	for _, style := range []wildfiretest.Style{0, wildfiretest.Shuffled, wildfiretest.UpperCaseHashes | wildfiretest.Shuffled} {
		server, hashes := known(1201, wildfiretest.WithStyle(style))
		client, _ := start(t, server)
		asked := append(slices.Clone(hashes), strings.ToUpper(hashes[3]), hashes[4]) // twice: once is enough
		records, err := client.Verdicts(t.Context(), asked)
		if err != nil || len(records) != len(hashes) {
			t.Fatalf("%d records, %v", len(records), err)
		}

		for i, record := range records {
			if record.SHA256 != hashes[i] || record.Verdict != wildfire.Verdict(i%3) || !record.HasVerdict {
				t.Fatalf("record %d is %+v", i, record)
			}
		}

		var sizes []int
		for _, call := range server.Calls() {
			sizes = append(sizes, call.Hashes)
		}
		if diff := cmp.Diff([]int{500, 500, 201}, sizes); diff != "" {
			t.Errorf("hashes per call (-want +got):\n%s", diff)
		}
	}
}

func TestVerdictsOmitHashesWithoutARecord(t *testing.T) {
	t.Parallel()
	server, hashes := known(5, wildfiretest.WithStyle(wildfiretest.MissingRecords))
	client, _ := start(t, server)
	records, err := client.Verdicts(t.Context(), hashes)
	if err != nil || len(records) != 3 || records[1].SHA256 != hashes[2] {
		t.Errorf("got %+v, %v; want records 0, 2 and 4", records, err)
	}
}

func TestVerdictsOfUnknownHashesAndMD5(t *testing.T) {
	t.Parallel()
	server, hashes := known(2)
	client, _ := start(t, server)
	records, err := client.Verdicts(t.Context(), []string{anyHash, md5Of("1"), hashes[0]})
	if err != nil || len(records) != 3 {
		t.Fatalf("got %+v, %v", records, err)
	}
	if records[0].Verdict != wildfire.Unknown || records[1].SHA256 != hashes[1] || records[2].SHA256 != hashes[0] {
		t.Errorf("got %+v", records)
	}
}

func TestVerdictsBeforeAnErrorAreReturned(t *testing.T) {
	t.Parallel()
	server, hashes := known(600)
	client, _ := start(t, server)
	server.Inject(wildfiretest.Rule{Op: wildfire.OpVerdicts, From: 2, Fault: wildfiretest.Fault{Status: 503, Body: wildfiretest.HTMLBody}})
	records, err := client.Verdicts(t.Context(), hashes)
	if !errors.Is(err, wildfire.ErrUnavailable) || len(records) != 500 {
		t.Errorf("%d records, %v; want 500 and ErrUnavailable", len(records), err)
	}
}

func TestHashesAreCheckedBeforeSending(t *testing.T) {
	t.Parallel()
	server, hashes := known(1)
	client, _ := start(t, server)
	for _, bad := range []string{"", "abc", strings.Repeat("g", 64), strings.Repeat("a", 40), strings.Repeat("a", 63) + "\n"} {
		if _, err := client.Verdict(t.Context(), bad); !errors.Is(err, wildfire.ErrInvalidArgument) {
			t.Errorf("%q: got %v", bad, err)
		}
		if _, err := client.Verdicts(t.Context(), []string{hashes[0], bad}); !errors.Is(err, wildfire.ErrInvalidArgument) {
			t.Errorf("%q in a list: got %v", bad, err)
		}
	}
	if records, err := client.Verdicts(t.Context(), nil); err != nil || len(records) != 0 {
		t.Errorf("no hashes: got %v, %v", records, err)
	}
	if n := server.Count(""); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestVerdictsChanged(t *testing.T) {
	t.Parallel()
	server, hashes := known(3)
	client, _ := start(t, server)
	records, err := client.VerdictsChanged(t.Context(), time.Now().AddDate(0, 0, -1))
	if err != nil || len(records) != len(hashes) {
		t.Errorf("%d records, %v; want %d", len(records), err, len(hashes))
	}
	for _, day := range []time.Time{time.Now().AddDate(0, 0, 2), time.Now().AddDate(0, 0, -32)} {
		if _, err := client.VerdictsChanged(t.Context(), day); !errors.Is(err, wildfire.ErrInvalidArgument) {
			t.Errorf("%v: got %v, want ErrInvalidArgument", day, err)
		}
	}
}

// TestVerdictComesAfterItsDelay follows one sample from its submission to its verdict.
func TestVerdictComesAfterItsDelay(t *testing.T) {
	t.Parallel()
	clock := wildfiretest.NewClock(time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC))
	server := wildfiretest.New(wildfiretest.WithNow(clock.Now), wildfiretest.WithDelay(time.Minute))
	client, _ := start(t, server)
	hash := sha256Of(contents)
	if _, err := client.SubmitFile(t.Context(), file("flip.exe", contents)); err != nil {
		t.Fatal(err)
	}

	for _, step := range []struct {
		wait time.Duration
		want wildfire.Verdict
	}{
		{0, wildfire.Unknown},
		{time.Second, wildfire.Pending},
		{58 * time.Second, wildfire.Pending},
		{time.Second, wildfire.Benign},
		{time.Minute, wildfire.Malware},
	} {
		clock.Advance(step.wait)
		record, err := client.Verdict(t.Context(), hash)
		if err != nil || record.Verdict != step.want {
			t.Errorf("at %v: got %v, %v; want %v", clock.Now().Format(time.TimeOnly), record.Verdict, err, step.want)
		}
	}
}

// TestUnusualListsAreReadOrRefused: a list with unusual XML is read correctly or refused.
func TestUnusualListsAreReadOrRefused(t *testing.T) {
	t.Parallel()
	one := "<get-verdict-info><verdict>0</verdict></get-verdict-info>"
	tests := map[string]struct {
		body    string
		records int // -1 for an error
		verdict bool
	}{
		"full":              {verdictList(500), 500, true},
		"empty":             {"<wildfire/>", 0, false},
		"comment":           {"<wildfire><!-- c -->" + one + "</wildfire>", 1, true},
		"attribute":         {"<wildfire a='b'>" + one + "</wildfire>", 1, true},
		"garbage behind it": {"<wildfire>" + one + "</wildfire>x", 1, true},
		"second document":   {"<wildfire>" + one + "</wildfire><wildfire>" + one + "</wildfire>", 1, true},
		"character":         {"<wildfire><get-verdict-info><verdict>&#48;</verdict></get-verdict-info></wildfire>", 1, true},
		"no verdict":        {"<wildfire><get-verdict-info><verdict/></get-verdict-info></wildfire>", 1, false},
		"not UTF-8":         {"<wildfire><get-verdict-info><url>\xe9</url></get-verdict-info></wildfire>", 1, false},
		"nothing":           {"", -1, false},
		"cut short":         {"<wildfire>" + one, -1, false},
		"page":              {"<html>" + one + "</html>", -1, false},
		"page before it":    {"<html></html><wildfire>" + one + "</wildfire>", -1, false},
		"error":             {"<error></error>", -1, false},
		"document type":     {"<!DOCTYPE wildfire><wildfire>" + one + "</wildfire>", -1, false},
		"only a head":       {"<?xml version='1.0'", -1, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			records, err := wildfire.ParseVerdicts([]byte(tt.body))
			if (err != nil) != (tt.records < 0) || err == nil && len(records) != tt.records {
				t.Fatalf("got %d records, %v; want %d", len(records), err, tt.records)
			}

			for _, record := range records {
				if record.HasVerdict != tt.verdict {
					t.Errorf("got %+v", record)
				}
			}
		})
	}
}

func TestContradictoryVerdictsInARecordAreIgnored(t *testing.T) {
	t.Parallel()
	for verdicts, want := range map[string]bool{
		"<verdict>1</verdict>": true, "<verdict>1</verdict><verdict>1</verdict>": true,
		"<verdict>0</verdict><verdict>1</verdict>": false, "<verdict>x</verdict><verdict>0</verdict>": false,
		"<verdict>1</verdict><verdict/>": false,
	} {
		records, err := wildfire.ParseVerdicts([]byte("<wildfire><get-verdict-info>" + verdicts + "</get-verdict-info></wildfire>"))
		if err != nil || len(records) != 1 || records[0].HasVerdict != want {
			t.Errorf("%s: got %+v, %v; want a verdict: %v", verdicts, records, err, want)
		}
	}
}

// TestContradictoryRecordsAreIgnored: equal records count as one; if they differ, neither is used.
func TestContradictoryRecordsAreIgnored(t *testing.T) {
	t.Parallel()
	record := func(verdict string) string {
		return "<get-verdict-info><sha256>" + anyHash + "</sha256><verdict>" + verdict + "</verdict></get-verdict-info>"
	}
	for records, want := range map[string]bool{
		record("1"): true, record("1") + record("1"): true, record("1") + record("0"): false, record("0") + record("1"): false,
		record("0") + record(""): false, record("0") + record("1") + record("1"): false, record("0") + record("1") + record("0"): false,
	} {
		c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
			cfg.Transport = &answering{status: 200, body: "<wildfire>" + records + "</wildfire>"}
		})
		if got, err := c.Verdicts(t.Context(), []string{anyHash}); err != nil || len(got) != 1 || got[0].HasVerdict != want {
			t.Errorf("%s: got %+v, %v; want one record, with a verdict: %v", records, got, err, want)
		}
		if got, err := c.Verdict(t.Context(), anyHash); want != (err == nil) || !want && !errors.Is(err, wildfire.ErrNoVerdict) {
			t.Errorf("%s: got %+v, %v; want a verdict: %v", records, got, err, want)
		}
	}
}

// TestAnswersAreLimited: answers are limited in size, depth and number of elements.
func TestAnswersAreLimited(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"size":     "<wildfire>" + strings.Repeat(" ", 2<<20) + "</wildfire>",
		"depth":    "<wildfire>" + strings.Repeat("<a>", 200) + strings.Repeat("</a>", 200) + "</wildfire>",
		"elements": "<wildfire>" + strings.Repeat("<a/>", 100_000) + "</wildfire>",
		"entities": `<!DOCTYPE wildfire [<!ENTITY a "aaaa">]><wildfire><get-verdict-info><sha256>` + anyHash + `</sha256><verdict>0</verdict></get-verdict-info></wildfire>`,
		"root":     "<html><get-verdict-info><sha256>" + anyHash + "</sha256><verdict>0</verdict></get-verdict-info></html>",
	} {
		c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
			cfg.Transport = &answering{status: 200, body: body}
		})
		if record, err := c.Verdict(t.Context(), anyHash); !errors.Is(err, wildfire.ErrAnswer) || errors.Is(err, wildfire.ErrNoVerdict) {
			t.Errorf("%s: got %+v, %v; want ErrAnswer", name, record, err)
		}
	}
}

// Every verdict is found by its name, and nothing else is.
func TestParseVerdict(t *testing.T) {
	t.Parallel()
	for v := wildfire.Flawed; v <= wildfire.C2+1; v++ {
		got, known := wildfire.ParseVerdict(v.String())
		if known != (v.String() != "unrecognised") || known && got != v {
			t.Errorf("%d: %v, %v", v, got, known)
		}
	}
	if _, known := wildfire.ParseVerdict(""); known {
		t.Error("ParseVerdict accepted an unknown name")
	}
}
