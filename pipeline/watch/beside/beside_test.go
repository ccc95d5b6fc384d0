package beside_test

import (
	"encoding/json"
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"backburn/pipeline"
	"backburn/pipeline/watch/beside"
)

var hash = strings.Repeat("ab", 32)

func TestDescribedFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		kind beside.Kind
		name string
		of   string // "": not a description
	}{
		{beside.JSON, "a.exe.json", "a.exe"},
		{beside.JSON, "d/a.exe.json", "d/a.exe"},
		{beside.JSON, "a.json.json", "a.json"},
		{beside.JSON, "a.exe", ""},
		{beside.JSON, ".json", ""},
		{beside.JSON, "d/.json", ""},
		{beside.None, "a.exe.json", ""},
		{beside.Suricata, "ab/" + hash + ".1700000000.12.json", "ab/" + hash},
		{beside.Suricata, hash + ".1.2.json", hash},
		{beside.Suricata, hash, ""},
		{beside.Suricata, hash + ".json", ""},
		{beside.Suricata, hash + ".1.json", ""},
		{beside.Suricata, hash + ".1.x.json", ""},
		{beside.Suricata, hash + ".+1.2.json", ""},
		{beside.Suricata, hash + "..2.json", ""},
		{beside.Suricata, hash[1:] + ".1.2.json", ""},
		{beside.Suricata, strings.ToUpper(hash) + ".1.2.json", ""},
		{beside.Suricata, "a.exe.json", ""},
	} {
		if of, ok := tc.kind.DescribedFile(tc.name); ok != (tc.of != "") || ok && of != tc.of {
			t.Errorf("%s, %s: %q, %v; want %q", tc.kind, tc.name, of, ok, tc.of)
		}
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	names := []string{hash, hash + ".9.1.json", hash + ".10.2.json", hash + ".10.11.json", hash + ".10.3.json", "x" + hash[1:] + ".99.1.json", "a.json"}
	if got := beside.Suricata.Newest(hash, names); got != hash+".10.11.json" {
		t.Errorf("%q", got)
	}
	if got := beside.Suricata.Newest(strings.Repeat("cd", 32), names); got != "" {
		t.Errorf("%q", got)
	}
	if got := beside.JSON.Newest("a.exe", nil); got != "a.exe.json" {
		t.Errorf("%q", got)
	}
	if !beside.Suricata.NeedsNames(hash) || beside.Suricata.NeedsNames("a.exe") || beside.JSON.NeedsNames(hash) {
		t.Error("NeedsNames returned the wrong result")
	}
}

// Records in the format of Suricata 7, and the resulting data of the job.
var records = map[string]struct {
	text string
	want beside.Description
}{
	"HTTP": {
		`{"timestamp":"2026-03-01T10:00:00.000001+0000","flow_id":1892349871234567,"event_type":"fileinfo","src_ip":"192.0.2.7","src_port":80,` +
			`"dest_ip":"198.51.100.3","dest_port":49152,"proto":"TCP","app_proto":"http","http":{"hostname":"evil.example","url":"/dl/in%20voice.js?x=1",` +
			`"http_user_agent":"curl/8","http_content_type":"text/javascript","http_method":"GET","protocol":"HTTP/1.1","status":200,"length":5},` +
			`"fileinfo":{"filename":"/dl/invoice.js","sid":[1,2],"gaps":false,"state":"CLOSED","stored":true,"file_id":1,"size":5,"tx_id":0}}`,
		beside.Description{Filename: "invoice.js", Metadata: map[string]string{
			"time": "2026-03-01T10:00:00.000001+0000", "flow-id": "1892349871234567", "protocol": "http",
			"src": "192.0.2.7:80", "dest": "198.51.100.3:49152", "url": "http://evil.example/dl/in%20voice.js?x=1", "host": "evil.example",
			"method": "GET", "status": "200", "user-agent": "curl/8", "content-type": "text/javascript", "state": "closed", "rules": "1,2",
		}},
	},
	"another port, IPv6": {
		`{"src_ip":"2001:db8::1","src_port":8080,"http":{"hostname":"h.example","http_port":8080,"url":"/"},"fileinfo":{"filename":"/","gaps":true,"state":"TRUNCATED"}}`,
		beside.Description{Metadata: map[string]string{
			"src": "[2001:db8::1]:8080", "url": "http://h.example:8080/", "host": "h.example", "state": "truncated", "gaps": "true",
		}},
	},
	"by a proxy": {
		`{"http":{"hostname":"h.example","url":"http://h.example/a.exe"},"fileinfo":{"filename":"a.exe"}}`,
		beside.Description{Filename: "a.exe", Metadata: map[string]string{"url": "http://h.example/a.exe", "host": "h.example"}},
	},
	"a URL within the URL": {
		`{"http":{"hostname":"h.example","url":"/a.exe?from=https://x.test/"},"fileinfo":{"filename":"a.exe"}}`,
		beside.Description{Filename: "a.exe", Metadata: map[string]string{"url": "http://h.example/a.exe?from=https://x.test/", "host": "h.example"}},
	},
	"mail": {
		`{"app_proto":"smtp","smtp":{"helo":"x","mail_from":"<bob@example.org>","rcpt_to":["<a@x.test>","<b@x.test>"]},"email":{"from":"Bob <b@e>"},"fileinfo":{"filename":"a.docm"}}`,
		beside.Description{Filename: "a.docm", Metadata: map[string]string{"protocol": "smtp", "sender": "<bob@example.org>", "recipients": "<a@x.test>,<b@x.test>"}},
	},
	"a share": {
		`{"app_proto":"smb","smb":{"share":"\\\\srv\\c$"},"fileinfo":{"filename":"Windows\\temp\\a.exe"}}`,
		beside.Description{Filename: "a.exe", Metadata: map[string]string{"protocol": "smb", "share": `\\srv\c$`}},
	},
	"nothing": {`{}`, beside.Description{Metadata: map[string]string{}}},
}

func TestRecords(t *testing.T) {
	t.Parallel()
	for name, tc := range records {
		got, err := beside.Suricata.Parse([]byte(tc.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for _, c := range "abcdefghijklmnopqrstuvwxyz1234567" {
		many[string(c)] = "v"
	}
	tooMany, err := json.Marshal(map[string]any{"metadata": many})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]beside.Description{
		`{"filename":"../a b.exe","metadata":{"url":"http://x/","n":-1.5,"t":true,"e":""},"more":[1]}`: {
			Filename: "a b.exe", Metadata: map[string]string{"url": "http://x/", "n": "-1.5", "t": "true", "e": ""},
		},
		`{}`:                                {Metadata: map[string]string{}},
		`{"filename":"..","metadata":null}`: {Metadata: map[string]string{}},
		`{"filename":"a\u0000\r\nb.exe"}`:   {Filename: "ab.exe", Metadata: map[string]string{}},
		`{"filename":"C:\\x\\a.exe "}`:      {Filename: "a.exe", Metadata: map[string]string{}},
		`{"filename":"` + strings.Repeat("ü", 200) + `.js"}`: {Filename: strings.Repeat("ü", 126) + ".js", Metadata: map[string]string{}},
	} {
		got, err := beside.JSON.Parse([]byte(text))
		if err != nil {
			t.Errorf("%.60s: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.60s (-want +got):\n%s", text, diff)
		}
	}
	for _, text := range []string{
		``, `{`, `[]`, `"x"`, `{"filename":1}`, `{"metadata":[]}`, `{"metadata":{"a":{}}}`, `{"metadata":{"a":[1]}}`, `{"metadata":{"a":null}}`,
		`{"metadata":{"a":"` + strings.Repeat("x", 9000) + `"}}`, string(tooMany),
	} {
		if got, err := beside.JSON.Parse([]byte(text)); err == nil {
			t.Errorf("%.60s: %+v", text, got)
		}
	}
}

func TestApply(t *testing.T) {
	t.Parallel()
	job := pipeline.Job{Filename: "x", FilenameB64: []byte("x"), Path: "d/x"}
	beside.Description{Filename: "a.exe", Metadata: map[string]string{"a": "b"}}.Apply(&job)
	if job.Filename != "a.exe" || job.FilenameB64 != nil || job.Path != "d/x" || !maps.Equal(job.Metadata, map[string]string{"a": "b"}) {
		t.Errorf("%+v", job)
	}
	beside.Unusable(errors.New(strings.Repeat("e", 5000))).Apply(&job)
	if job.Filename != "a.exe" || len(job.Metadata[beside.MetadataError]) != 320 {
		t.Errorf("%+v", job)
	}
}

// A job can carry the result of any input.
func FuzzParse(f *testing.F) {
	for _, key := range slices.Sorted(maps.Keys(records)) {
		f.Add([]byte(records[key].text))
	}
	long := strings.Repeat("é", 5000)
	f.Add([]byte(strings.ReplaceAll(records["HTTP"].text, "evil.example", long)))
	f.Add([]byte(`{"timestamp":"` + long + `","src_ip":"` + long + `","src_port":1,"dest_ip":"` + long + `","app_proto":"` + long + `","http":{"hostname":"` + long +
		`","url":"` + long + `","http_user_agent":"` + long + `","http_content_type":"` + long + `","http_refer":"` + long + `","http_method":"` + long +
		`"},"smtp":{"mail_from":"` + long + `","rcpt_to":["` + long + `"]},"smb":{"share":"` + long + `"},"fileinfo":{"filename":"` + long + `.exe","state":"` + long + `","gaps":true}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, kind := range []beside.Kind{beside.JSON, beside.Suricata} {
			a, err := kind.Parse(text)
			if err != nil {
				a = beside.Unusable(err)
			}
			job := pipeline.Job{Filename: "x"}
			a.Apply(&job)
			if err := job.CheckText(); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			if job.Filename != path.Base(job.Filename) || len(job.Filename) > 255 || strings.ContainsAny(job.Filename, "/\\\x00\n") {
				t.Errorf("%s: name %q", kind, job.Filename)
			}
		}
	})
}
