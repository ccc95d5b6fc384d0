package format_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"backburn/internal/sink/format"
	"backburn/results"
)

var update = flag.Bool("update", false, "write goldens and documents")

var noon = time.Date(2026, 11, 21, 12, 0, 0, 123_000_000, time.UTC)

// fullEvent returns an event with a value in each field that events of its type may have.
func fullEvent() results.Event {
	code := 1
	return results.Event{Type: results.Verdict, Time: noon, Data: results.Data{
		JobID:       "mail-4711",
		Source:      "mail",
		Filename:    "invoice.pdf.exe",
		FilenameB64: []byte("invoice\xff.exe"),
		Path:        "in/invoice.pdf.exe",
		PathB64:     []byte("in/invoice\xff.exe"),
		SHA256:      strings.Repeat("0a", 32),
		MD5:         strings.Repeat("0b", 16),
		Size:        12345,
		Filetype:    "PE32 executable",
		Verdict:     "malware",
		VerdictCode: &code,
		Basis:       results.BasisUpload,
		ReceivedAt:  noon.Add(-10 * time.Minute),
		SubmittedAt: noon.Add(-9 * time.Minute),
		DecidedAt:   noon.Add(-time.Second),
		Attempts:    2,
		Metadata:    map[string]string{"client.ip": "10.0.0.7", "subject": "Re: \"invoice\""},
	}}
}

// events returns one event of each type, by name.
func events() map[string]results.Event {
	link := fullEvent()
	link.Data = results.Data{
		JobID:      "link-1",
		Source:     "web",
		URL:        "https://example.com/login?a=1&b=<2>",
		Verdict:    "phishing",
		Basis:      results.BasisLookup,
		ReceivedAt: noon.Add(-time.Minute),
		DecidedAt:  noon,
	}
	submitted := fullEvent()
	submitted.Type = results.Submitted
	submitted.Data.Verdict = ""
	submitted.Data.VerdictCode = nil
	submitted.Data.DecidedAt = time.Time{}
	changed := fullEvent()
	benign := 0
	changed.Type = results.Changed
	changed.Data.Verdict = "benign"
	changed.Data.VerdictCode = &benign
	failed := fullEvent()
	failed.Type = results.Failed
	failed.Data.Verdict = ""
	failed.Data.VerdictCode = nil
	failed.Data.DecidedAt = time.Time{}
	failed.Data.Error = &results.Error{Reason: results.TooLarge, Message: "larger than 100MB", HTTPStatus: 413}
	bare := results.Event{Type: results.Failed, Time: noon, Data: results.Data{
		JobID:  "bare",
		Source: "mail",
		Error:  &results.Error{Reason: results.InvalidJob, Message: "no JSON"},
	}}
	report := fullEvent()
	report.Type = results.Reported
	report.Data.Report = &results.Report{
		Status:       results.ReportAvailable,
		Kept:         []string{"xml", "pdf"},
		Malware:      "yes",
		Signer:       "Nobody | a=b",
		SHA1:         strings.Repeat("c", 40),
		Platforms:    []results.ReportPlatform{{ID: "66", Name: "Windows 10 64-bit", Malware: "yes"}},
		Behaviors:    []results.ReportBehavior{{ID: "35", Text: "Created an executable", Details: "as droppers do", Kind: "dropper", Severity: 0.75}},
		Processes:    []results.ReportProcess{{Name: "sample.exe", Command: `"C:\sample.exe" /q`}},
		FilesWritten: []string{`C:\a.exe`},
		RegistryKeys: []results.ReportRegistry{{Key: `\REGISTRY\USER\Run`, Value: "updater", Data: `C:\a.exe`}},
		Dropped:      []results.ReportFile{{Path: `C:\a.exe`, Type: "exe", Size: 3, SHA256: strings.Repeat("d", 64)}, {MD5: strings.Repeat("e", 32)}},
		Mutexes:      []string{`Global\1`},
		Connections:  []results.ReportConnection{{Protocol: "tcp", IP: "198.51.100.7", Port: 8080, Country: "ZZ"}},
		Domains:      []string{"c2.example.net", "b.example.net"},
		IPs:          []string{"198.51.100.7"},
		URLs:         []string{"http://c2.example.net/gate.php?id=1&v=2"},
		UserAgents:   []string{"Mozilla/4.0 (compatible)"},
		Truncated:    true,
	}
	missing := fullEvent()
	missing.Type = results.Reported
	missing.Data.Report = &results.Report{Status: results.ReportMissing}

	pause := results.Event{Type: results.Audited, Time: noon, Data: results.Data{Source: results.AuditSource, Audit: &results.Audit{
		ID:     "JBSWY3DPEHPK3PXPJBSWY3DPEH",
		Action: results.AuditPause,
		Status: results.AuditRequested,
		By:     "alice",
		Via:    results.AuditDashboard,
		From:   "192.0.2.7",
		Until:  noon.Add(4 * time.Hour),
		Reason: "the proxy is being changed",
	}}}
	retry := results.Event{Type: results.Audited, Time: noon, Data: results.Data{Source: results.AuditSource, Audit: &results.Audit{
		ID:     "JBSWY3DPEHPK3PXPJBSWY3DPEH",
		Action: results.AuditRetry,
		Status: results.AuditFailed,
		By:     "bob",
		Via:    results.AuditCommand,
		From:   "mx1.example.com",
		Letter: 17,
		Job:    "mail/mail-4711",
		SHA256: strings.Repeat("0a", 32),
		URL:    "https://example.com/login?a=1",
		Result: "its contents no longer exist",
	}}}

	return map[string]results.Event{"pause": pause, "retry": retry, "report": report, "missing": missing, "verdict": fullEvent(), "link": link, "submitted": submitted, "changed": changed, "failed": failed, "bare": bare}
}

func encode(t *testing.T, f format.Name, e results.Event) string {
	t.Helper()
	body, err := e.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	line, err := f.Encode(body, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	return string(line)
}

func TestEncodedEventsEqualTheGoldenFiles(t *testing.T) {
	t.Parallel()
	for name, e := range events() {
		for _, f := range format.Names() {
			t.Run(name+"/"+string(f), func(t *testing.T) {
				t.Parallel()
				got := encode(t, f, e)
				if strings.ContainsAny(got, "\n\r") || !utf8.ValidString(got) {
					t.Errorf("not a line: %q", got)
				}
				if f != format.CEF {
					var b bytes.Buffer
					if err := json.Indent(&b, []byte(got), "", "  "); err != nil {
						t.Fatal(err)
					}
					got = b.String()
				}
				golden(t, name+"."+string(f), got+"\n")
			})
		}
	}
}

// golden compares a text with a golden file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// Each format has the value of every field of an event.
func TestEachFormatHasEveryField(t *testing.T) {
	t.Parallel()
	verdict := events()["verdict"]
	failed := events()["failed"]
	link := events()["link"]
	pause, retry := events()["pause"], events()["retry"]
	for _, f := range []format.Name{format.ECS, format.OCSF, format.CEF} {
		for what, tc := range map[string]struct {
			e      results.Event
			text   string
			except format.Name // a format without the field
		}{
			"id":                     {verdict, "mail/mail-4711.verdict", ""},
			"job":                    {verdict, "mail/mail-4711", ""},
			"name":                   {verdict, "invoice.pdf.exe", ""},
			"path":                   {verdict, "in/invoice.pdf.exe", ""},
			"SHA-256":                {verdict, verdict.Data.SHA256, ""},
			"MD5":                    {verdict, verdict.Data.MD5, ""},
			"size":                   {verdict, "12345", ""},
			"filetype":               {verdict, "PE32 executable", ""},
			"verdict":                {verdict, "malware", ""},
			"basis":                  {verdict, "upload", ""},
			"name that is not UTF-8": {verdict, "aW52b2ljZf8uZXhl", format.CEF},
			"metadata":               {verdict, "10.0.0.7", ""},
			"link":                   {link, "https://example.com/login", ""},
			"reason":                 {failed, "too_large", ""},
			"message":                {failed, "larger than 100MB", ""},
			"HTTP status":            {failed, "413", ""},
			"action":                 {pause, "pause", ""},
			"actor":                  {pause, "alice", ""},
			"address":                {pause, "192.0.2.7", ""},
			"via":                    {pause, "dashboard", ""},
			"audit reason":           {pause, "the proxy is being changed", ""},
			"action ID":              {retry, retry.Data.Audit.ID, ""},
			"host":                   {retry, "mx1.example.com", ""},
			"letter":                 {retry, "17", ""},
			"audited job":            {retry, "mail/mail-4711", ""},
			"audited hash":           {retry, retry.Data.Audit.SHA256, ""},
			"audited link":           {retry, "https://example.com/login", ""},
			"audit result":           {retry, "its contents no longer exist", ""},
			"audit status":           {retry, "failed", ""},
		} {
			if got := encode(t, f, tc.e); f != tc.except && !strings.Contains(got, tc.text) {
				t.Errorf("%s has no %s: %s", f, what, got)
			}
		}
	}
}

// Whatever a file name contains, the other fields stay unchanged.
func TestHostileNamesDoNotChangeOtherFields(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		`a|b\c=d`, "line\nbreak\r\nCEF:0|x", "tab\tand\x00NUL\x1b[2J", "\u2028next\u0085line", `"quotes" {"json":1}`,
		strings.Repeat("ä", 5000), "a act=benign severity=0", `trailing\`,
	} {
		e := fullEvent()
		e.Data.Filename = name
		e.Data.FilenameB64 = nil
		e.Data.Metadata = map[string]string{"x": name}
		for _, f := range []format.Name{format.ECS, format.OCSF} {
			line := encode(t, f, e)
			var doc map[string]any
			if err := json.Unmarshal([]byte(line), &doc); err != nil || strings.ContainsAny(line, "\n\r") {
				t.Fatalf("%s: %v: %q", f, err, line)
			}
			file := doc["file"]
			if f == format.OCSF {
				file = doc["evidences"].([]any)[0].(map[string]any)["file"]
			}
			if got := file.(map[string]any)["name"]; got != name {
				t.Errorf("%s: the name is %q, want %q", f, got, name)
			}
		}

		header, extension := parseCEF(t, encode(t, format.CEF, e))
		if header[6] != "8" || extension["act"] != "verdict" || extension["cs3"] != "malware" {
			t.Errorf("%q changes %q %q", name, header, extension)
		}
		want := []rune(strings.Map(func(r rune) rune {
			if r < ' ' && r != '\n' && r != '\r' || r >= 0x7f && r < 0xa0 || r == '\u2028' {
				return ' '
			}
			return r
		}, name))
		if got := extension["fname"]; got != string(want[:min(len(want), 1023)]) {
			t.Errorf("the name is %.80q, want %.80q", got, string(want))
		}
	}
	if _, err := format.ECS.Encode([]byte(`{"specversion":"1.0","id":"a","source":"b","type":"backburn.report.v9"}`), ""); !errors.Is(err, format.ErrUnknown) {
		t.Errorf("got %v", err)
	}
}

// The same event has the same encoding, even if two names in its metadata become one label.
func TestEncodingDependsOnlyOnTheEvent(t *testing.T) {
	t.Parallel()
	e := fullEvent()
	e.Data.Metadata = map[string]string{"queue.id": "1", "queue*id": "2", "queue_id": "3"}
	first := encode(t, format.ECS, e)
	for range 100 {
		if again := encode(t, format.ECS, e); again != first {
			t.Fatalf("%s\nand %s", first, again)
		}
	}
}

// Values are cut at the limits that the standard has for their keys.
func TestCEFLimits(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("l", 5000)
	e := results.Event{Type: results.Audited, Time: noon, Data: results.Data{Source: results.AuditSource, Audit: &results.Audit{
		ID:     long,
		Action: results.AuditPause,
		Status: results.AuditDone,
		By:     long,
		Via:    long,
		From:   long,
		Job:    long,
		Reason: long,
	}}}
	_, extension := parseCEF(t, encode(t, format.CEF, e))
	for key, want := range map[string]int{"externalId": 40, "suser": 1023, "sourceServiceName": 1023, "shost": 1023, "cs6": 4000, "reason": 1023} {
		if got := len(extension[key]); got != want {
			t.Errorf("%s has %d characters, want %d", key, got, want)
		}
	}
}

// parseCEF parses a line as the standard describes.
func parseCEF(t *testing.T, line string) (header []string, extension map[string]string) {
	t.Helper()
	field := ""
	rest := ""
	for i := 0; i < len(line); i++ {
		switch {
		case line[i] == '\\' && i+1 < len(line) && (line[i+1] == '|' || line[i+1] == '\\'):
			i++
			field += line[i : i+1]
		case line[i] == '|':
			header, field = append(header, field), ""
		default:
			field += line[i : i+1]
		}
		if len(header) == 7 {
			rest = line[i+1:]
			break
		}
	}
	if len(header) != 7 || header[0] != "CEF:0" {
		t.Fatalf("header %q of %q", header, line)
	}

	// A key is a word before an unescaped equals sign.
	extension = map[string]string{}
	key := ""
	value := ""
	word := ""
	for i := 0; i < len(rest); i++ {
		switch c := rest[i]; {
		case c == '\\' && i+1 < len(rest):
			i++
			word += map[byte]string{'n': "\n", 'r': "\r", '=': "=", '\\': `\`}[rest[i]]
		case c == '=':
			extension[key] = strings.TrimSuffix(value, " ")
			key = word
			value = ""
			word = ""
		case c == ' ':
			value, word = value+word+" ", ""
		default:
			word += rest[i : i+1]
		}
	}
	extension[key] = value + word
	delete(extension, "")
	return header, extension
}

// Severities increase with the danger, on every scale.
func TestSeverityIncreasesWithTheDanger(t *testing.T) {
	t.Parallel()
	of := func(typ results.Type, verdict string) format.Severity {
		return format.SeverityOf(results.Event{Type: typ, Data: results.Data{Verdict: verdict}})
	}
	for _, tc := range []struct {
		name      string
		got, want format.Severity
	}{
		{"submitted", of(results.Submitted, ""), format.Severity{CEF: 1, OCSF: 1, Syslog: 6}},
		{"benign", of(results.Verdict, "benign"), format.Severity{CEF: 1, OCSF: 1, Syslog: 6}},
		{"failed", of(results.Failed, ""), format.Severity{CEF: 3, OCSF: 2, Syslog: 4}},
		{"verdict of a later version", of(results.Verdict, "worm"), format.Severity{CEF: 3, OCSF: 2, Syslog: 4}},
		{"grayware", of(results.Verdict, "grayware"), format.Severity{CEF: 5, OCSF: 3, Syslog: 4}},
		{"malware", of(results.Changed, "malware"), format.Severity{CEF: 8, OCSF: 4, Syslog: 2}},
		{"phishing", of(results.Verdict, "phishing"), format.Severity{CEF: 8, OCSF: 4, Syslog: 2}},
		{"c2", of(results.Verdict, "c2"), format.Severity{CEF: 9, OCSF: 5, Syslog: 2}},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %+v, want %+v", tc.name, tc.got, tc.want)
		}
	}
}

// Events of a simulation are marked.
func TestEventsOfASimulationAreMarked(t *testing.T) {
	t.Parallel()
	body, err := fullEvent().MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	body = bytes.Replace(body, []byte(`{`), []byte(`{"backburnsimulated":true,`), 1)
	for f, want := range map[format.Name]string{
		format.CloudEvents: `"backburnsimulated":true`,
		format.ECS:         `"tags":["simulated"]`,
		format.OCSF:        `"simulated":true`,
		format.CEF:         `cat=simulated`,
	} {
		line, err := f.Encode(body, "")
		if err != nil || !strings.Contains(string(line), want) {
			t.Errorf("%s: %v: no %s in %s", f, err, want, line)
		}
	}
}

// ecsTypes has the field types of the Elastic Common Schema. An index rejects events with other
// types.
var ecsTypes = map[string]string{
	"@timestamp":                "date",
	"ecs.version":               "string",
	"error.code":                "string",
	"error.message":             "string",
	"event.action":              "string",
	"event.category":            "strings",
	"event.dataset":             "string",
	"event.end":                 "date",
	"event.id":                  "string",
	"event.kind":                "string",
	"event.module":              "string",
	"event.outcome":             "string",
	"event.provider":            "string",
	"event.reason":              "string",
	"event.severity":            "number",
	"event.start":               "date",
	"event.type":                "strings",
	"file.extension":            "string",
	"file.hash.md5":             "string",
	"file.hash.sha256":          "string",
	"file.name":                 "string",
	"file.path":                 "string",
	"file.size":                 "number",
	"file.type":                 "string",
	"http.response.status_code": "number",
	"message":                   "string",
	"observer.product":          "string",
	"observer.type":             "string",
	"observer.vendor":           "string",
	"related.hash":              "strings",
	"related.hosts":             "strings",
	"related.ip":                "strings",
	"related.user":              "strings",
	"service.type":              "string",
	"service.version":           "string",
	"source.address":            "string",
	"source.ip":                 "string",
	"tags":                      "strings",
	"url.full":                  "string",
	"url.original":              "string",
	"user.name":                 "string",
}

func TestECSFieldsHaveTheTypesOfTheStandard(t *testing.T) {
	t.Parallel()
	for name, e := range events() {
		var doc map[string]any
		if err := json.Unmarshal([]byte(encode(t, format.ECS, e)), &doc); err != nil {
			t.Fatal(err)
		}
		for path, v := range leaves("", doc) {
			if strings.HasPrefix(path, "backburn.") || strings.HasPrefix(path, "labels.") {
				continue
			}
			if got, want := kindOf(v), ecsTypes[path]; got != want && (want != "string" || got != "date") {
				t.Errorf("%s: %s is a %s, want %q as in the standard", name, path, got, want)
			}
		}
		want := "event"
		switch {
		case e.Type == results.Reported:
			want = "enrichment"
		case slices.Contains([]string{"malware", "phishing"}, e.Data.Verdict):
			want = "alert"
		}
		if kind := doc["event"].(map[string]any)["kind"]; kind != want {
			t.Errorf("%s: kind %v", name, kind)
		}
	}
}

// leaves returns the fields of a JSON value that are no objects, by their dotted paths.
func leaves(path string, v any) map[string]any {
	object, ok := v.(map[string]any)
	if !ok {
		return map[string]any{path: v}
	}
	all := map[string]any{}
	for name, child := range object {
		for p, leaf := range leaves(strings.TrimPrefix(path+"."+name, "."), child) {
			all[p] = leaf
		}
	}
	return all
}

func kindOf(v any) string {
	switch v := v.(type) {
	case string:
		if _, err := time.Parse(time.RFC3339, v); err == nil {
			return "date"
		}
		return "string"
	case float64:
		return "number"
	case []any:
		for _, e := range v {
			if _, ok := e.(string); !ok {
				return fmt.Sprintf("list of %T", e)
			}
		}
		return "strings"
	}
	return fmt.Sprintf("%T", v)
}

// Events have the fields that OCSF requires for each class and object.
func TestOCSFHasTheRequiredFields(t *testing.T) {
	t.Parallel()
	for name, e := range events() {
		var doc map[string]any
		if err := json.Unmarshal([]byte(encode(t, format.OCSF, e)), &doc); err != nil {
			t.Fatal(err)
		}
		has := func(what string, v any, keys ...string) {
			object, ok := v.(map[string]any)
			for _, k := range keys {
				if _, has := object[k]; !ok || !has {
					t.Errorf("%s: %s has no %s: %v", name, what, k, v)
				}
			}
		}
		has("event", doc, "activity_id", "category_uid", "class_uid", "type_uid", "time", "severity_id", "metadata", "message", "status_id")
		has("metadata", doc["metadata"], "version", "product", "uid")
		if doc["type_uid"] != doc["class_uid"].(float64)*100+doc["activity_id"].(float64) || doc["category_uid"] != float64(int(doc["class_uid"].(float64))/1000) {
			t.Errorf("%s: type_uid or category_uid does not match class_uid: %v", name, doc)
		}
		if doc["class_uid"] == 6003.0 {
			has("api", doc["api"], "operation")
			has("user", doc["actor"].(map[string]any)["user"], "name")
			has("src_endpoint", doc["src_endpoint"], "svc_name")
			for _, o := range doc["observables"].([]any) {
				has("observable", o, "name", "type_id", "value")
			}
			continue
		}
		if doc["class_uid"] == 6007.0 {
			has("scan", doc["scan"], "type_id", "uid")
			continue
		}
		has("finding_info", doc["finding_info"], "uid", "title")
		evidence := doc["evidences"].([]any)[0].(map[string]any)
		if e.Data.SHA256 == "" {
			has("url", evidence["url"], "url_string")
			continue
		}
		has("file", evidence["file"], "name", "type_id")
		for _, h := range evidence["file"].(map[string]any)["hashes"].([]any) {
			has("hash", h, "algorithm_id", "value")
		}
		for _, o := range doc["observables"].([]any) {
			has("observable", o, "name", "type_id", "value")
		}
	}
}

// docs/formats.md is generated from the table.
func TestDocument(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "..", "docs", "formats.md")
	want := format.Document()
	if *update {
		if err := os.WriteFile(file, want, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("docs/formats.md (-table +document); update it with \"go test ./internal/sink/format -run TestDocument -update\":\n%s", d)
	}
}
