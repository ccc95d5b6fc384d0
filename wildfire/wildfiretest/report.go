package wildfiretest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"backburn/wildfire"
)

// judged looks up a sample whose report is out. It answers and reports false where there is none.
func (x *exchange) judged(hash string) (known, wildfire.Verdict, bool) {
	s := x.server
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sample := range s.find(x.call.Region, hash) {
		if when, ok := sample.changedAt(s.now()); ok && !s.now().Before(when.Add(s.reportLag)) {
			return *sample, sample.at(s.now(), s.unknownFor), true
		}
	}
	return known{}, 0, false
}

// hash is what a form asks about. It answers and reports false where that is no hash.
func (x *exchange) hash(form url.Values) (string, bool) {
	hash := form.Get("hash")
	switch {
	case hash == "":
		x.refuse(420, "Missing required field")
	case !isHash(hash):
		x.refuse(421, invalidHash)
	default:
		return hash, true
	}
	return "", false
}

// report answers with a report in one of its formats.
func (x *exchange) report() {
	form, owner, ok := x.admittedForm()
	if !ok {
		return
	}
	if link := form.Get("url"); link != "" {
		if x.charged(owner) {
			x.urlReport(link)
		}
		return
	}
	hash, ok := x.hash(form)
	if !ok {
		return
	}
	sample, verdict, ok := x.judged(hash)
	if !ok {
		if x.style.has(ResponseRoot) {
			x.send(http.StatusOK, "text/xml", document(element{name: "response", children: []element{{name: "version", text: "2.0"}}}, x.style))
			return
		}
		x.refuse(http.StatusNotFound, "Report not found")
		return
	}
	if !x.charged(owner) {
		return
	}
	switch form.Get("format") {
	case "", "xml":
		x.xml(reportElements(sample, verdict)...)
	case "pdf":
		x.download(sample.sha256+".pdf", "application/octet-stream", pdf("WildFire report "+sample.sha256+": "+verdict.String()))
	case "maec":
		inner, _ := json.Marshal(map[string]any{"type": "package", "id": "package--" + sample.sha256[:8], "schema_version": "5.0"})
		answer, _ := json.Marshal(map[string]string{"result": string(inner)})
		x.send(http.StatusOK, "application/json", answer)
	default:
		x.refuse(421, "Invalid format")
	}
}

// urlReport answers with JSON, whose report is a JSON text in a string; before it is there, its values are
// empty strings.
func (x *exchange) urlReport(link string) {
	sha, _ := urlDigests(link)
	sample, verdict, ok := x.judged(sha)
	result := map[string]any{"analysis_time": "", "url_type": "", "report": ""}
	if ok {
		report := map[string]any{"sample": map[string]any{"url": sample.url, "verdict": verdict.String()}}
		inner, _ := json.Marshal(report)
		result = map[string]any{
			"analysis_time": sample.received.UTC().Format(time.RFC3339), "url_type": "original", "report": string(inner),
		}
		if x.style.has(ReportObject) {
			result["report"] = report
		}
	}
	answer, _ := json.Marshal(map[string]any{"success": "True", "result": result})
	x.send(http.StatusOK, "application/json", answer)
}

// reportElements are the parts of an XML report: the overall answer, one static analysis that says the
// opposite of it, and one dynamic analysis.
func reportElements(sample known, verdict wildfire.Verdict) []element {
	overall, dynamic := "no", "no"
	switch {
	case verdict == wildfire.Grayware:
		overall, dynamic = "grayware", "suspicious"
	case verdict.Malicious():
		overall, dynamic = "yes", "yes"
	}
	one := func(platform, software, malware string, children ...element) element {
		return element{name: "report", children: append([]element{
			{name: "version", text: "3.0"},
			{name: "platform", text: platform},
			{name: "software", text: software},
			{name: "sha256", text: sample.sha256},
			{name: "md5", text: sample.md5},
			{name: "malware", text: malware},
		}, children...)}
	}
	summary := element{name: "summary", children: []element{
		{name: "entry", text: "Created or modified a file", attrs: ` score="0.1" id="2" details="Legitimate software creates files too." behavior="file"`},
	}}
	network := element{name: "network", children: []element{
		{name: "TCP", attrs: ` ip="192.0.2.7" port="443" country="US"`},
		{name: "dns", attrs: ` query="example.test" response="192.0.2.7" type="A"`},
		{name: "url", attrs: ` host="example.test" uri="/" method="GET" user_agent="test"`},
	}}
	processes := element{name: "process_list", children: []element{
		{name: "process", attrs: ` name="sample.exe" pid="884" command="C:\sample.exe"`},
	}}
	return []element{
		{name: "version", text: "2.0"},
		{name: "file_info", children: []element{
			{name: "file_signer", text: "None"},
			{name: "malware", text: overall},
			{name: "sha1"},
			{name: "filetype", text: strings.TrimSuffix(sample.filetype, "32 executable")},
			{name: "sha256", text: sample.sha256},
			{name: "md5", text: sample.md5},
			{name: "size", text: strconv.FormatInt(sample.size, 10)},
		}},
		{name: "task_info", children: []element{
			one("100", "Static Analyzer", "no"),
			one("66", "Windows 10 64-bit", dynamic, summary, network, processes),
		}},
	}
}

// pdf is the smallest document that viewers open.
func pdf(title string) []byte {
	return []byte("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n" +
		"3 0 obj<</Title(" + title + ")>>endobj\ntrailer<</Root 1 0 R/Info 3 0 R>>\n%%EOF\n")
}

// sample answers with a sample's contents, which only small ones still have: the others are gone.
func (x *exchange) sample() {
	form, owner, ok := x.admittedForm()
	if !ok {
		return
	}
	hash, ok := x.hash(form)
	if !ok {
		return
	}
	s := x.server
	s.mu.Lock()
	samples := s.find(x.call.Region, hash)
	var found known
	if len(samples) > 0 {
		found = *samples[0]
	}
	s.mu.Unlock()
	switch {
	case len(samples) == 0:
		x.refuse(http.StatusNotFound, "")
	case found.preset && found.uploads == 0:
		x.refuse(http.StatusForbidden, "") // somebody else's
	case found.head == nil:
		x.refuse(http.StatusGone, "")
	case x.charged(owner):
		x.download(found.sha256+".000", "application/octet-stream", found.head)
	}
}

// pcap answers with an empty capture.
func (x *exchange) pcap() {
	form, owner, ok := x.admittedForm()
	if !ok {
		return
	}
	hash, ok := x.hash(form)
	if !ok {
		return
	}
	sample, _, ok := x.judged(hash)
	platform := form.Get("platform")
	if platform == "" {
		platform = "66"
	}
	if !ok || platform != "66" {
		x.refuse(http.StatusNotFound, "")
		return
	}
	if x.charged(owner) {
		header := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0}
		x.download(sample.sha256+"."+platform+".0.pcap", "application/octet-stream", header)
	}
}

// webArtifacts answers with a tar.gz of a page's screenshot.
func (x *exchange) webArtifacts() {
	form, owner, ok := x.admittedForm()
	if !ok {
		return
	}
	link := form.Get("url")
	if link == "" {
		x.refuse(420, "Missing required field url")
		return
	}
	for kind := range strings.SplitSeq(form.Get("types"), ",") {
		switch strings.TrimSpace(kind) {
		case "", "screenshot", "download_files":
		default:
			x.refuse(421, "Invalid types")
			return
		}
	}
	sha, _ := urlDigests(link)
	if _, _, ok := x.judged(sha); !ok {
		x.refuse(http.StatusNotFound, "")
		return
	}
	if x.charged(owner) {
		x.download("artifacts.tar.gz", "application/octet-stream", archive("screenshot.png", []byte("\x89PNG\r\n\x1a\n")))
	}
}

func archive(name string, content []byte) []byte {
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	files := tar.NewWriter(compressed)
	_ = files.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: int64(len(content))})
	_, _ = files.Write(content)
	_ = files.Close()
	_ = compressed.Close()
	return out.Bytes()
}

// testFile answers with a file that is new with every call and will be found malicious.
func (x *exchange) testFile(kind string) {
	names := map[string][2]string{
		"pe":    {"wildfire-test-pe-file.exe", "MZ"},
		"apk":   {"wildfire-test-apk-file.apk", "PK\x03\x04"},
		"macos": {"wildfire-test-macos-file", "\xcf\xfa\xed\xfe"},
		"elf":   {"wildfire-test-elf-file", "\x7fELF"},
	}
	file, ok := names[kind]
	if !ok {
		x.refuse(http.StatusNotFound, "")
		return
	}
	s := x.server
	s.mu.Lock()
	s.tests++
	number := s.tests
	s.mu.Unlock()
	body := file[1] + "\x00\x00\n" + string(contentMarker) + "malware\n" + strconv.FormatUint(s.seed, 10) + "." + strconv.Itoa(number) + "\n"
	x.download(file[0], "application/octet-stream", []byte(body))
}
