package pipeline_test

import (
	"archive/zip"
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"backburn/pipeline"
)

// Jobs for the tests of rules.
var (
	claimedJob = pipeline.Job{ // of a watcher
		ID: "01J", Source: "hr", Priority: pipeline.Normal, Kind: pipeline.KindFile, Size: 1000,
		Filename: "Offer.DOCX", Path: "2026/Offer.DOCX",
		Content: &pipeline.Content{Path: ".backburn/claimed/01J-Offer.DOCX"},
	}
	keptJob = pipeline.Job{ // of a watcher that leaves files in place
		ID: "01J", Source: "hr", Priority: pipeline.Normal, Kind: pipeline.KindFile, Size: 1000,
		Filename: "anything", Path: "anywhere",
		Content: &pipeline.Content{Path: "2026/Offer.DOCX"},
	}
	rawJob = pipeline.Job{ // of a gateway, in a message
		ID: "1", Source: "mail", Priority: pipeline.Normal, Kind: pipeline.KindFile, Size: 1000,
		Filename: "Offer.DOCX", Path: "inbox/Offer.DOCX", Metadata: map[string]string{"TLP": "Red"},
	}
	objectJob = pipeline.Job{
		ID: "2", Source: "mail", Priority: pipeline.Urgent, Kind: pipeline.KindFile, Size: 1000,
		Filename: "Offer.DOCX", Content: &pipeline.Content{Object: "job.mail.2"},
	}
	linkJob = pipeline.Job{
		ID: "3", Source: "mail", Priority: pipeline.Normal, Kind: pipeline.KindURL, URL: "https://intranet.example.com/a/b",
	}
)

// Rules with different permissions.
func always(r pipeline.Rule) pipeline.Rule { r.Submit = pipeline.SubmitAlways; return r }
func lookup(r pipeline.Rule) pipeline.Rule { r.Submit = pipeline.SubmitLookup; return r }
func never(r pipeline.Rule) pipeline.Rule  { r.Submit = pipeline.SubmitNever; return r }

// Each condition alone, with a match and a mismatch.
func TestRuleConditions(t *testing.T) {
	t.Parallel()

	docx := []string{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip"}
	for name, tc := range map[string]struct {
		rule pipeline.Rule
		job  pipeline.Job
		want bool
	}{
		"nothing":                            {pipeline.Rule{}, rawJob, true},
		"source":                             {pipeline.Rule{Source: "mail"}, rawJob, true},
		"another source":                     {pipeline.Rule{Source: "hr"}, rawJob, false},
		"sources":                            {pipeline.Rule{Source: "{hr,mail}"}, rawJob, true},
		"any source that begins so":          {pipeline.Rule{Source: "ma*"}, rawJob, true},
		"source of a link":                   {pipeline.Rule{Source: "mail"}, linkJob, true},
		"name, in any case":                  {pipeline.Rule{Name: "offer.docx"}, claimedJob, true},
		"name, glob":                         {pipeline.Rule{Name: "*.docx"}, claimedJob, true},
		"another name":                       {pipeline.Rule{Name: "*.pdf"}, claimedJob, false},
		"name of a file in place":            {pipeline.Rule{Name: "offer.*"}, keptJob, true},
		"a name that is only said, in place": {pipeline.Rule{Name: "anything"}, keptJob, true},
		"path":                               {pipeline.Rule{Name: "2026/*"}, claimedJob, true},
		"path in place":                      {pipeline.Rule{Name: "2026/**"}, keptJob, true},
		"another path":                       {pipeline.Rule{Name: "2025/**"}, keptJob, false},
		"a path is no name":                  {pipeline.Rule{Name: "2026"}, keptJob, false},
		"name of what came in a message":     {pipeline.Rule{Name: "offer.docx"}, rawJob, true},
		"path of what came in a message":     {pipeline.Rule{Name: "inbox/*"}, rawJob, true},
		"name of what came in an object":     {pipeline.Rule{Name: "offer.docx"}, objectJob, true},
		"link":                               {pipeline.Rule{Name: "https://intranet.example.com/**"}, linkJob, true},
		"another link":                       {pipeline.Rule{Name: "https://extranet.example.com/**"}, linkJob, false},
		"a name is no link":                  {pipeline.Rule{Name: "*"}, linkJob, false},
		"extension":                          {pipeline.Rule{Extension: ".docx"}, claimedJob, true},
		"extension without its dot":          {pipeline.Rule{Extension: "docx"}, claimedJob, true},
		"extensions":                         {pipeline.Rule{Extension: ".{pdf,docx}"}, rawJob, true},
		"another extension":                  {pipeline.Rule{Extension: ".doc"}, rawJob, false},
		"no extension":                       {pipeline.Rule{Extension: ".anything"}, keptJob, false},
		"extension of a link":                {pipeline.Rule{Extension: "*"}, linkJob, false},
		"kind":                               {pipeline.Rule{Type: docx[0]}, rawJob, true},
		"a more general kind":                {pipeline.Rule{Type: "application/zip"}, rawJob, true},
		"kinds":                              {pipeline.Rule{Type: "application/*"}, rawJob, true},
		"another kind":                       {pipeline.Rule{Type: "text/*"}, rawJob, false},
		"not everything is an octet stream":  {pipeline.Rule{Type: "application/octet-stream"}, rawJob, false},
		"kind of a link":                     {pipeline.Rule{Type: "**"}, linkJob, false},
		"large enough":                       {pipeline.Rule{MinSize: 1000}, rawJob, true},
		"too small":                          {pipeline.Rule{MinSize: 1001}, rawJob, false},
		"small enough":                       {pipeline.Rule{MaxSize: 1000}, rawJob, true},
		"too large":                          {pipeline.Rule{MaxSize: 999}, rawJob, false},
		"size of a link":                     {pipeline.Rule{MaxSize: 999}, linkJob, false},
		"metadata, in any case":              {pipeline.Rule{Metadata: map[string]string{"tlp": "red"}}, rawJob, true},
		"metadata, glob":                     {pipeline.Rule{Metadata: map[string]string{"tlp": "{red,amber}*"}}, rawJob, true},
		"other metadata":                     {pipeline.Rule{Metadata: map[string]string{"tlp": "green"}}, rawJob, false},
		"no such metadata":                   {pipeline.Rule{Metadata: map[string]string{"tlp": "red", "owner": "*"}}, rawJob, false},
		"all of them": {pipeline.Rule{
			Source:    "mail",
			Name:      "offer*",
			Extension: "docx",
			Type:      "*/zip",
			MinSize:   1,
			MaxSize:   2000,
		}, rawJob, true},
		"all but one": {pipeline.Rule{
			Source:    "mail",
			Name:      "offer*",
			Extension: "docx",
			Type:      "*/zip",
			MinSize:   1,
			MaxSize:   200,
		}, rawJob, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			types := docx
			if tc.job.Kind == pipeline.KindURL {
				types = nil
			}
			cfg := pipeline.Config{Rules: []pipeline.Rule{never(tc.rule)}}
			got := cfg.RulingFor(pipeline.FactsOf(tc.job, types), tc.job)
			if matched := got.Submit == pipeline.SubmitNever; matched != tc.want {
				t.Errorf("%s matches: %v, want %v (%+v)", tc.rule, matched, tc.want, got)
			}
		})
	}
}

// Tests which of several rules applies. A publisher's claims can only restrict, never allow more.
func TestRuleOrder(t *testing.T) {
	t.Parallel()

	byName := pipeline.Rule{Name: "*.docx"}
	tlp := pipeline.Rule{Metadata: map[string]string{"tlp": "red"}}
	mail := pipeline.Rule{Source: "mail"}
	everything := pipeline.Rule{}
	video := []string{"video/mp4"}
	named := func(name string) pipeline.Job { j := rawJob; j.Filename = name; return j }
	asks := func(j pipeline.Job, s pipeline.Submit) pipeline.Job { j.Submit = s; return j }
	share := func(perDay int, r pipeline.Rule) pipeline.Rule { r.UploadsPerDay = perDay; return r }
	lane := func(p pipeline.Priority, r pipeline.Rule) pipeline.Rule { r.Priority = p; return r }

	for name, tc := range map[string]struct {
		rules    []pipeline.Rule
		job      pipeline.Job
		types    []string
		want     pipeline.Submit
		by       string // beginning of the rule's text
		priority pipeline.Priority
		shares   []int
	}{
		"no rules":                      {job: rawJob, want: pipeline.SubmitAlways, by: "no rule matches"},
		"none that matches":             {rules: []pipeline.Rule{never(pipeline.Rule{Source: "hr"})}, job: rawJob, want: pipeline.SubmitAlways, by: "no rule matches"},
		"the first one":                 {rules: []pipeline.Rule{lookup(mail), never(everything)}, job: rawJob, want: pipeline.SubmitLookup, by: "policy[0] (source = \"mail\")"},
		"the second one":                {rules: []pipeline.Rule{lookup(pipeline.Rule{Source: "hr"}), never(everything)}, job: rawJob, want: pipeline.SubmitNever, by: "policy[1] (everything)"},
		"a known name allows more":      {rules: []pipeline.Rule{always(byName), never(everything)}, job: claimedJob, want: pipeline.SubmitAlways, by: "policy[0]"},
		"a known path allows more":      {rules: []pipeline.Rule{always(pipeline.Rule{Name: "2026/**"}), never(everything)}, job: keptJob, want: pipeline.SubmitAlways, by: "policy[0]"},
		"a path that a watcher says":    {rules: []pipeline.Rule{always(pipeline.Rule{Name: "2026/**"}), never(everything)}, job: claimedJob, want: pipeline.SubmitNever, by: "policy[1] (everything); policy[0] would allow more"},
		"a name that is said":           {rules: []pipeline.Rule{always(byName), lookup(everything)}, job: rawJob, want: pipeline.SubmitLookup, by: "policy[1] (everything); policy[0] would allow more"},
		"a name that is said of a file": {rules: []pipeline.Rule{always(pipeline.Rule{Name: "anything"}), lookup(everything)}, job: keptJob, want: pipeline.SubmitLookup, by: "policy[1]"},
		"a name that is said for less":  {rules: []pipeline.Rule{never(byName), lookup(everything)}, job: rawJob, want: pipeline.SubmitNever, by: "policy[0] (name = \"*.docx\")"},
		"a name for less, and no more":  {rules: []pipeline.Rule{never(byName)}, job: objectJob, want: pipeline.SubmitNever, by: "policy[0]"},
		"metadata for less":             {rules: []pipeline.Rule{lookup(tlp), always(everything)}, job: rawJob, want: pipeline.SubmitLookup, by: "policy[0] (metadata.tlp = \"red\")"},
		"metadata for more":             {rules: []pipeline.Rule{lookup(tlp), never(everything)}, job: rawJob, want: pipeline.SubmitNever, by: "policy[1]"},
		"a link is what it is":          {rules: []pipeline.Rule{always(pipeline.Rule{Name: "https://**"}), never(everything)}, job: linkJob, want: pipeline.SubmitAlways, by: "policy[0]"},
		"the job asks for less":         {rules: []pipeline.Rule{always(mail)}, job: asks(rawJob, pipeline.SubmitLookup), want: pipeline.SubmitLookup, by: "the job (submit = \"lookup\")"},
		"the job asks for nothing":      {job: asks(rawJob, pipeline.SubmitNever), want: pipeline.SubmitNever, by: "the job"},
		"the job asks for more":         {rules: []pipeline.Rule{never(mail)}, job: asks(rawJob, pipeline.SubmitAlways), want: pipeline.SubmitNever, by: "policy[0]"},
		"the job asks for as much":      {rules: []pipeline.Rule{lookup(mail)}, job: asks(rawJob, pipeline.SubmitLookup), want: pipeline.SubmitLookup, by: "policy[0]"},
		"the job asks for nonsense":     {job: asks(rawJob, "all"), want: pipeline.SubmitNever, by: "the job"},
		"a kind that is refused":        {job: named("a.mp4"), types: video, want: pipeline.SubmitLookup, by: "wildfire.refused_kinds (video/mp4)"},
		"that kind, under a rule":       {rules: []pipeline.Rule{always(mail)}, job: named("a"), types: video, want: pipeline.SubmitLookup, by: "wildfire.refused_kinds"},
		"that kind, kept anyway":        {rules: []pipeline.Rule{never(mail)}, job: named("a"), types: video, want: pipeline.SubmitNever, by: "policy[0]"},
		"that kind, called a script":    {job: named("a.JS"), types: video, want: pipeline.SubmitAlways, by: "no rule matches"},
		"that kind, found as a program": {job: pipeline.Job{ID: "1", Source: "hr", Filename: "a.mp4", Content: &pipeline.Content{Path: "a.jar"}}, types: video, want: pipeline.SubmitAlways, by: "no rule matches"},
		"a kind that is taken":          {job: named("a"), types: []string{"application/pdf"}, want: pipeline.SubmitAlways, by: "no rule matches"},
		"a lane":                        {rules: []pipeline.Rule{always(lane(pipeline.Urgent, mail))}, job: rawJob, want: pipeline.SubmitAlways, by: "policy[0]", priority: pipeline.Urgent},
		"a lane by what is said, later": {rules: []pipeline.Rule{always(lane(pipeline.Bulk, byName)), always(mail)}, job: rawJob, want: pipeline.SubmitAlways, by: "policy[0]", priority: pipeline.Bulk},
		"a lane by what is said, first": {rules: []pipeline.Rule{always(lane(pipeline.Urgent, byName)), always(mail)}, job: rawJob, want: pipeline.SubmitAlways, by: "policy[0]"},
		"a lane by what is known goes before what is said": {
			rules: []pipeline.Rule{always(lane(pipeline.Normal, byName)), always(lane(pipeline.Bulk, mail))}, job: rawJob,
			want: pipeline.SubmitAlways, by: "policy[0]", priority: pipeline.Bulk,
		},
		"a share":                       {rules: []pipeline.Rule{always(share(3, mail))}, job: rawJob, want: pipeline.SubmitAlways, by: "policy[0]", shares: []int{3}},
		"no way around a share":         {rules: []pipeline.Rule{always(byName), always(share(3, mail))}, job: rawJob, want: pipeline.SubmitAlways, by: "policy[0]", shares: []int{3}},
		"a share of both":               {rules: []pipeline.Rule{always(share(5, byName)), always(share(3, mail))}, job: rawJob, want: pipeline.SubmitAlways, by: "policy[0]", shares: []int{5, 3}},
		"the share of the first, known": {rules: []pipeline.Rule{always(share(5, byName)), always(share(3, everything))}, job: claimedJob, want: pipeline.SubmitAlways, by: "policy[0]", shares: []int{5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := pipeline.DefaultConfig()
			cfg.Rules = tc.rules
			got := cfg.RulingFor(pipeline.FactsOf(tc.job, tc.types), tc.job)
			if got.Submit != tc.want || !strings.HasPrefix(got.Rule, tc.by) || got.Priority != tc.priority {
				t.Errorf("got %+v, want submit %s by %s, priority %q", got, tc.want, tc.by, tc.priority)
			}
			var shares []int
			for _, s := range got.Budgets {
				shares = append(shares, s.PerDay)
			}
			if diff := cmp.Diff(tc.shares, shares); diff != "" {
				t.Errorf("shares (-want +got)\n%s", diff)
			}
		})
	}
}

// Whatever a publisher claims, the permission never exceeds that of the first rule without a claim.
func FuzzPublishersCannotGainByWhatTheySay(f *testing.F) {
	f.Add("a.docx", "x/a.docx", "red", uint8(0))
	f.Add("", "", "", uint8(255))
	f.Fuzz(func(t *testing.T, name, path, label string, mix uint8) {
		submits := pipeline.Submits()
		cfg := pipeline.DefaultConfig()
		cfg.Rules = []pipeline.Rule{
			{Name: "*.docx", Submit: submits[mix%3]},
			{Metadata: map[string]string{"tlp": "r*"}, Submit: submits[mix/3%3]},
			{Name: "x/**", Submit: submits[mix/9%3]},
			{Submit: submits[mix/27%3]},
		}
		j := rawJob
		j.Filename = name
		j.Path = path
		j.Metadata = map[string]string{"tlp": label}

		got := cfg.RulingFor(pipeline.FactsOf(j, []string{"text/plain"}), j)
		if limit := cfg.Rules[3].Submit; slices.Index(submits, got.Submit) < slices.Index(submits, limit) {
			t.Errorf("%q, %q and %q get %s where %s is the limit", name, path, label, got.Submit, limit)
		}
	})
}

func TestTypesOf(t *testing.T) {
	t.Parallel()

	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	for _, name := range []string{"[Content_Types].xml", "_rels/.rels", "word/document.xml"} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("<x/>")); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}

	for name, tc := range map[string]struct {
		head []byte
		want []string
	}{
		"pdf":   {[]byte("%PDF-1.7\n"), []string{"application/pdf"}},
		"pe":    {[]byte("MZ\x90\x00"), []string{"application/vnd.microsoft.portable-executable"}},
		"docx":  {archive.Bytes(), []string{"application/vnd.openxmlformats-officedocument.wordprocessingml.document", "application/zip"}},
		"text":  {[]byte("hello\n"), []string{"text/plain"}},
		"bytes": {[]byte{0, 1, 2, 0x80}, []string{"application/octet-stream"}},
	} {
		if diff := cmp.Diff(tc.want, pipeline.TypesOf(tc.head)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", name, diff)
		}
	}
}

func TestRuleCheck(t *testing.T) {
	t.Parallel()

	wrong := pipeline.Config{Rules: []pipeline.Rule{pipeline.DefaultRule(), {
		Source: "[", Name: "[", Extension: "[", Type: "[", MinSize: 2, MaxSize: 1,
		Metadata: map[string]string{"a": "["}, Submit: "sometimes", Priority: "soon", Report: "perhaps", UploadsPerDay: -1,
	}, {Submit: pipeline.SubmitNever, Report: pipeline.ReportAlways}}}
	err := wrong.Validate()
	for _, key := range []string{"source", "name", "extension", "kind", "max_size", "metadata", "submit", "priority", "report", "uploads_per_day"} {
		if !strings.Contains(err.Error(), "policy[1]."+key+": expected ") {
			t.Errorf("no error about %s:\n%v", key, err)
		}
	}
	if want := `policy[2].report: expected anything but "always" where submit is "never"`; !strings.Contains(err.Error(), want) {
		t.Errorf("no %s in\n%v", want, err)
	}
	if strings.Contains(err.Error(), "policy[0]") {
		t.Errorf("the default rule is refused:\n%v", err)
	}
}
