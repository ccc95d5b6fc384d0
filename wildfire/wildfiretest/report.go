package wildfiretest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"backburn/wildfire"
)

// findReported returns a sample with an available report.
func (x *exchange) findReported(hash string) (storedSample, wildfire.Verdict, bool) {
	x.server.mu.Lock()
	defer x.server.mu.Unlock()

	return x.server.firstReported(x.server.find(x.call.Region, hash))
}

// findReportedURL returns a URL with an available report.
func (x *exchange) findReportedURL(link string) (storedSample, wildfire.Verdict, bool) {
	x.server.mu.Lock()
	defer x.server.mu.Unlock()

	return x.server.firstReported(x.server.findURL(x.call.Region, link))
}

// firstReported returns the first sample with an available report. The mutex is held.
func (s *Server) firstReported(samples []*storedSample) (storedSample, wildfire.Verdict, bool) {
	for _, sample := range samples {
		if sample.plan.NoReport {
			continue
		}
		if when, ok := sample.changedAt(s.now()); ok && !s.now().Before(when.Add(s.reportLag)) {
			return *sample, sample.verdictAt(s.now(), s.unknownFor), true
		}
	}

	return storedSample{}, 0, false
}

// readHash returns the hash in a form. If it is missing or invalid, readHash answers the call and
// reports false.
func (x *exchange) readHash(form url.Values) (string, bool) {
	hash := form.Get("hash")
	switch {
	case hash == "":
		x.refuse(420, "Missing required field")
	case !isHash(hash):
		x.refuse(421, invalidHash)
	default:
		x.call.SHA256 = strings.ToLower(hash)
		return hash, true
	}

	return "", false
}

// serveReport answers with a report in one of its formats.
func (x *exchange) serveReport() {
	form, owner, ok := x.admitForm()
	if !ok {
		return
	}

	if link := form.Get("url"); link != "" {
		if x.charge(owner) {
			x.sendURLReport(link)
		}

		return
	}

	hash, ok := x.readHash(form)
	if !ok {
		return
	}

	sample, verdict, ok := x.findReported(hash)
	if !ok {
		if x.style.has(ResponseRoot) {
			x.send(http.StatusOK, "text/xml", document(element{name: "response", children: []element{{name: "version", text: "2.0"}}}, x.style))
			return
		}

		x.refuse(http.StatusNotFound, "Report not found")

		return
	}

	format := cmp.Or(form.Get("format"), "xml")
	if !slices.Contains([]string{"xml", "pdf", "maec"}, format) {
		x.refuse(421, "Invalid format")
		return
	}

	if !x.charge(owner) {
		return
	}

	switch format {
	case "xml":
		x.sendXML(analysis(sample, verdict)...)
	case "pdf":
		x.sendFile(sample.sha256+".pdf", "application/octet-stream", pdf("WildFire report "+sample.sha256+": "+verdict.String()))
	case "maec":
		inner, _ := json.Marshal(map[string]any{"type": "package", "id": "package--" + sample.sha256[:8], "schema_version": "5.0"})
		answer, _ := json.Marshal(map[string]string{"result": string(inner)})
		x.send(http.StatusOK, "application/json", answer)
	}
}

// sendURLReport answers with JSON in which the report is a string of JSON. Until the report is
// available, the values are empty strings.
func (x *exchange) sendURLReport(link string) {
	sample, verdict, ok := x.findReportedURL(link)
	result := map[string]any{"analysis_time": "", "url_type": "", "report": ""}
	if ok {
		report := urlAnalysis(sample, verdict)
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

// pdf returns a minimal document that viewers open.
func pdf(title string) []byte {
	return []byte("%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[]/Count 0>>endobj\n" +
		"3 0 obj<</Title(" + title + ")>>endobj\ntrailer<</Root 1 0 R/Info 3 0 R>>\n%%EOF\n")
}

// serveSample answers with a sample's contents. Contents that were too large to keep are gone.
func (x *exchange) serveSample() {
	form, owner, ok := x.admitForm()
	if !ok {
		return
	}

	hash, ok := x.readHash(form)
	if !ok {
		return
	}

	s := x.server
	s.mu.Lock()
	samples := s.find(x.call.Region, hash)
	var found storedSample
	if len(samples) > 0 {
		found = *samples[0]
	}

	s.mu.Unlock()
	switch {
	case len(samples) == 0:
		x.refuse(http.StatusNotFound, "")
	case found.preset && found.uploads == 0:
		x.refuse(http.StatusForbidden, "") // submitted by somebody else
	case found.contents == nil:
		x.refuse(http.StatusGone, "")
	case x.charge(owner):
		x.sendFile(sampleName(found), "application/octet-stream", found.contents)
	}
}

// servePCAP answers with an empty capture.
func (x *exchange) servePCAP() {
	form, owner, ok := x.admitForm()
	if !ok {
		return
	}

	hash, ok := x.readHash(form)
	if !ok {
		return
	}

	sample, _, ok := x.findReported(hash)
	platform := form.Get("platform")
	if platform == "" {
		platform = "66"
	}

	if !ok || platform != "66" {
		x.refuse(http.StatusNotFound, "")
		return
	}

	if x.charge(owner) {
		header := []byte{0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0}
		x.sendFile(sample.sha256+"."+platform+".0.pcap", "application/octet-stream", header)
	}
}

// serveWebArtifacts answers with a tar.gz of a page's screenshot and downloads.
func (x *exchange) serveWebArtifacts() {
	form, owner, ok := x.admitForm()
	if !ok {
		return
	}

	link := form.Get("url")
	switch {
	case !form.Has("url"):
		x.refuse(420, "Missing required field url")
		return
	case link == "":
		x.refuse(421, "Invalid url")
		return
	}

	kinds, ok := artifactKinds(form.Get("types"))
	if !ok {
		x.refuse(421, "Invalid types")
		return
	}

	sample, _, ok := x.findReportedURL(link)
	if !ok {
		x.refuse(http.StatusNotFound, "")
		return
	}

	if x.charge(owner) {
		x.sendFile(sample.sha256+".tgz", "application/octet-stream", artifacts(kinds))
	}
}

// artifactKinds parses the list of requested kinds; an empty list means all.
func artifactKinds(types string) ([]string, bool) {
	all := []string{"screenshot", "download_files"}
	if types == "" {
		return all, true
	}

	var kinds []string
	for kind := range strings.SplitSeq(types, ",") {
		kind = strings.TrimSpace(kind)
		if !slices.Contains(all, kind) {
			return nil, false
		}
		kinds = append(kinds, kind)
	}

	return kinds, true
}

// artifacts returns an archive with a folder for each kind.
func artifacts(kinds []string) []byte {
	files := map[string]struct{ name, contents string }{
		"screenshot":     {"screenshot.jpg", "\xff\xd8\xff\xe0\x00\x10JFIF\x00\xff\xd9"},
		"download_files": {"index.html", "<html></html>\n"},
	}
	var out bytes.Buffer
	compressed := gzip.NewWriter(&out)
	archive := tar.NewWriter(compressed)
	for _, kind := range kinds {
		file := files[kind]
		_ = archive.WriteHeader(&tar.Header{Name: kind + "/", Mode: 0o700, Typeflag: tar.TypeDir})
		_ = archive.WriteHeader(&tar.Header{Name: kind + "/" + file.name, Mode: 0o600, Size: int64(len(file.contents))})
		_, _ = archive.Write([]byte(file.contents))
	}

	_ = archive.Close()
	_ = compressed.Close()

	return out.Bytes()
}

// sampleName returns the service's file name for a sample's contents: the hash and, if the file had
// an extension, that and ".000".
func sampleName(sample storedSample) string {
	if extension := path.Ext(sample.filename); extension != "" {
		return sample.sha256 + extension + ".000"
	}

	return sample.sha256
}

// serveTestFile answers with a file that is different in every call and gets the verdict malware.
func (x *exchange) serveTestFile(kind string) {
	name, contents, ok := x.server.testContents(kind)
	if !ok {
		x.refuse(http.StatusNotFound, "")
		return
	}
	x.sendFile(name, "application/octet-stream", []byte(contents))
}

// testContents returns a new test file of a kind, or false for an unknown kind.
func (s *Server) testContents(kind string) (name, contents string, ok bool) {
	names := map[string][2]string{
		"pe":    {"wildfire-test-pe-file.exe", "MZ"},
		"apk":   {"wildfire-test-apk-file.apk", "PK\x03\x04"},
		"macos": {"wildfire-test-macos-file", "\xcf\xfa\xed\xfe"},
		"elf":   {"wildfire-test-elf-file", "\x7fELF"},
	}
	file, ok := names[kind]
	if !ok {
		return "", "", false
	}

	s.mu.Lock()
	s.tests++
	number := s.tests
	s.mu.Unlock()
	serial := strconv.FormatUint(s.seed, 10) + "." + strconv.Itoa(number)

	return file[0], file[1] + "\x00\x00\n" + string(contentMarker) + "malware\n" + serial + "\n", true
}

// urlAnalysis returns the document about a URL, with the fields that published examples show.
func urlAnalysis(sample storedSample, verdict wildfire.Verdict) map[string]any {
	static, dynamic := packageID("static", sample.sha256), packageID("dynamic", sample.sha256)

	return map[string]any{
		"type":           "wf-report",
		"schema_version": "1.0",
		"sha256":         sample.sha256,
		"verdict":        verdictWord(verdict),
		"sa_package":     static,
		"da_packages":    []string{dynamic},
		"iocs":           []string{},
		"detection_reasons": []map[string]any{{
			"type":        "detection-reason",
			"name":        "simulated",
			"description": "Decided by the simulation",
			"verdict":     verdictWord(verdict),
			"artifacts":   []map[string]any{{"type": "artifact-ref", "package": static}},
		}},
		"maec_packages": []map[string]any{
			maecPackage(static, sample, "static"),
			maecPackage(dynamic, sample, "combined"),
		},
	}
}

// verdictWord returns the word for a verdict in reports.
func verdictWord(verdict wildfire.Verdict) string {
	if verdict == wildfire.C2 {
		return "C2"
	}

	return verdict.String()
}

// maecPackage returns the MAEC package of one analysis.
func maecPackage(id string, sample storedSample, kind string) map[string]any {
	return map[string]any{
		"type":           "package",
		"id":             id,
		"schema_version": "5.0",
		"maec_objects": []map[string]any{{
			"type":                 "malware-instance",
			"id":                   "malware-instance--" + strings.TrimPrefix(id, "package--"),
			"instance_object_refs": []string{"0"},
			"analysis_metadata":    []map[string]any{{"analysis_type": kind, "is_automated": true}},
		}},
		"observable_objects": map[string]any{"0": map[string]any{"type": "url", "value": sample.url}},
	}
}

// packageID returns a UUID derived from its arguments.
func packageID(kind, sha256 string) string {
	digest := hashOf(kind + sha256)

	return "package--" + digest[:8] + "-" + digest[8:12] + "-4" + digest[13:16] + "-8" + digest[17:20] + "-" + digest[20:32]
}
