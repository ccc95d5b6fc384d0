package wildfiretest

import (
	"bytes"
	"cmp"
	"crypto/md5" // #nosec G501 -- part of the service's answers
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"

	"backburn/wildfire"
)

// receivedFile is an uploaded file: its digests and its beginning.
type receivedFile struct {
	Sample
	whole bool // whether Head is the whole file
}

// errTooLarge means that a file is over the service's limit.
var errTooLarge = errors.New("file too large")

// receiver has the buffer and the hashes for reading one upload. It is pooled, so that a benchmark
// with this server measures mainly the client.
type receiver struct {
	buffer []byte
	sha256 hash.Hash
	md5    hash.Hash
}

var receivers = sync.Pool{New: func() any {
	return &receiver{buffer: make([]byte, 64<<10), sha256: sha256.New(), md5: md5.New()} // #nosec G401
}}

// receive hashes a file as it arrives and keeps only its head.
func receive(part io.Reader, limit int64) (receivedFile, error) {
	c := receivers.Get().(*receiver)
	defer receivers.Put(c)
	c.sha256.Reset()
	c.md5.Reset()

	var got receivedFile
	for {
		n, err := readFull(part, c.buffer)
		chunk := c.buffer[:n]
		_, _ = c.sha256.Write(chunk)
		_, _ = c.md5.Write(chunk)
		got.Size += int64(n)
		if missing := headSize - len(got.Head); missing > 0 {
			got.Head = append(got.Head, chunk[:min(missing, n)]...)
		}

		switch {
		case limit > 0 && got.Size > limit:
			return got, errTooLarge
		case errors.Is(err, io.EOF):
			got.SHA256 = hex.EncodeToString(c.sha256.Sum(nil))
			got.MD5 = hex.EncodeToString(c.md5.Sum(nil))
			got.whole = got.Size <= headSize

			return got, nil
		case err != nil:
			return got, err
		}
	}
}

// readFull reads until the buffer is full. Unlike io.ReadFull it distinguishes the end of a part
// (io.EOF) from the end of a connection, which multipart reports as io.ErrUnexpectedEOF.
func readFull(r io.Reader, buffer []byte) (n int, err error) {
	for n < len(buffer) && err == nil {
		var m int
		m, err = r.Read(buffer[n:])
		n += m
	}
	return n, err
}

// serveSubmitFile accepts an upload. The checks are, in order: method, credential, quota, content
// type, file part, size, emptiness, type, contents. An API key and its quota are checked later,
// when the key has been read from the form. Only an upload that passes all checks is counted.
func (x *exchange) serveSubmitFile() {
	owner, ok := "", false
	if bearer(x.r) != "" {
		if owner, ok = x.admit(""); !ok {
			return
		}
	}

	var file *receivedFile
	form, ok := x.readForm(func(form url.Values, filename string, part io.Reader) bool {
		if owner == "" && form.Has("apikey") {
			if owner, ok = x.admit(form.Get("apikey")); !ok {
				return false
			}
		}

		got, err := receive(part, x.server.maxFileSize)
		got.Filename, got.Region = filename, x.call.Region
		switch {
		case errors.Is(err, errTooLarge):
			x.refuse(http.StatusRequestEntityTooLarge, "")
			return false
		case err != nil:
			x.refuseIncomplete(err)
			return false
		}

		file = &got

		return true
	})
	if !ok {
		return
	}

	if owner == "" {
		if owner, ok = x.admit(form.Get("apikey")); !ok {
			return
		}
	}

	switch {
	case file == nil:
		x.refuse(420, "Missing required field file")
		return
	case file.Size == 0:
		x.refuse(513, "File upload failed")
		return
	}

	x.call.SHA256 = file.SHA256
	x.call.Filename = file.Filename
	x.call.Size = file.Size
	x.accept(owner, file, "")
}

// contentsAt returns the simulated file at a URL. Nothing is fetched: the contents are derived from
// the URL, except for the service's own test files.
func (s *Server) contentsAt(location string) (name, contents string) {
	if _, kind, ok := strings.Cut(location, apiPrefix+"test/"); ok {
		if name, contents, ok := s.testContents(kind); ok {
			return name, contents
		}
	}

	return "", "contents of " + location
}

// serveSubmitURL accepts the URL of a file.
func (x *exchange) serveSubmitURL() {
	form, owner, ok := x.admitForm()
	if !ok {
		return
	}

	location := form.Get("url")
	if !form.Has("url") {
		x.refuse(420, "Missing required field url")
		return
	}

	if !isWebURL(location) {
		x.refuse(421, "Invalid url")
		return
	}

	name, contents := x.server.contentsAt(location)
	got, _ := receive(strings.NewReader(contents), 0)
	got.URL, got.Region = location, x.call.Region
	got.Filename = cmp.Or(form.Get("context"), name)
	x.call.SHA256, x.call.Size = got.SHA256, got.Size
	x.accept(owner, &got, location)
}

// accept handles a complete file: it applies the faults for it, counts the upload, stores the
// sample and answers.
func (x *exchange) accept(owner string, file *receivedFile, location string) {
	if x.apply(x.server.faultFor(x.call.Op, x.call.Token, file.SHA256, file.Filename)) {
		return
	}

	plan := x.server.plan(file.Sample)
	if x.fault.none() && !plan.Fault.none() && x.server.countAttempt(x.call.Region, file, plan) && x.apply(plan.Fault) {
		return
	}
	if !x.charge(owner) {
		return
	}

	kind := filetype(file.Filename, file.Head)
	x.server.storeAccepted(x.call, file, plan, kind)
	record := element{name: "upload-file-info", children: []element{
		{name: "url", text: location},
		{name: "filetype", text: kind},
		{name: "filename", text: answerFilename(file.Filename, location)},
		{name: "sha256", text: file.SHA256},
		{name: "md5", text: file.MD5},
		{name: "size", text: strconv.FormatInt(file.Size, 10)},
	}}
	x.sendXML(record.inStyle(x.style))
}

// answerFilename returns the file name in the answer, which is empty for submit/url.
func answerFilename(filename, location string) string {
	if location != "" {
		return ""
	}
	return filename
}

// countAttempt counts the submissions of a sample with a fault, and reports whether this one gets
// the fault.
func (s *Server) countAttempt(region string, file *receivedFile, plan Plan) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sample := s.samples[sampleKey{region, file.SHA256}]
	if sample == nil {
		// Store the sample although it was not accepted; get/verdict answers that it is unknown.
		sample = &storedSample{sha256: file.SHA256, md5: file.MD5, received: s.now(), plan: Plan{Lost: true}}
		s.store(region, sample)
	}

	sample.attempts++

	return plan.Times == 0 || sample.attempts <= plan.Times
}

// storeAccepted stores an accepted sample. A known sample keeps its verdict and, unless it is built
// in, its age.
func (s *Server) storeAccepted(call Call, file *receivedFile, plan Plan, kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sample := s.samples[sampleKey{call.Region, file.SHA256}]
	if found := findBuiltin(file.SHA256); sample == nil && found != nil {
		sample = found[0]
		sample.received = s.now()
		s.store(call.Region, sample)
	}

	if sample == nil || sample.plan.Lost && !plan.Lost {
		fresh := &storedSample{
			sha256: file.SHA256, md5: file.MD5, filename: file.Filename, filetype: kind, url: file.URL,
			size: file.Size, received: s.now(), plan: plan, delay: plan.Delay,
		}
		if sample != nil {
			fresh.uploads = sample.uploads
			fresh.attempts = sample.attempts
			fresh.accepted = sample.accepted
		}

		if plan.Delay < 0 {
			fresh.delay = s.delayOf(file.SHA256)
		}
		if file.whole {
			fresh.contents = bytes.Clone(file.Head)
		}

		sample = fresh
		s.store(call.Region, sample)
	}

	sample.uploads++
	if len(sample.accepted) < maxUploadsKept {
		sample.accepted = append(sample.accepted, Upload{Time: s.now(), Token: call.Token, Filename: file.Filename})
	}
}

// serveSubmitLink accepts the URL of a web page.
func (x *exchange) serveSubmitLink() {
	form, owner, ok := x.admitForm()
	if !ok {
		return
	}

	switch link := form.Get("link"); {
	case !form.Has("link"):
		x.refuse(420, "Missing required field link")
	case !acceptableLink(link):
		x.refuse(421, invalidLink)
	default:
		x.acceptLinks(owner, []string{link})
	}
}

// serveSubmitLinks accepts a list of links in a named file part whose first line is "panlnk".
func (x *exchange) serveSubmitLinks() {
	var text, filename string
	seen := false
	form, owner, ok := x.admitList(func(name, content string) {
		text, filename = content, name
		seen = true
	})
	if !ok {
		return
	}

	if form.Has("file") || seen && filename == "" {
		x.refuse(418, "")
		return
	}

	if !seen {
		x.refuse(420, "Missing required field file")
		return
	}

	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	if len(lines) == 0 || lines[0] != "panlnk" {
		x.refuse(418, "")
		return
	}

	links := lines[1:]
	x.call.Hashes = len(links)
	switch {
	case len(links) == 0:
		x.refuse(422, "")
	case len(links) > wildfire.MaxLinks:
		x.refuse(422, "File contains too many entities, maxium 1000 entities allowed")
	default:
		x.acceptLinks(owner, links)
	}
}

// acceptLinks counts and stores links, and answers.
func (x *exchange) acceptLinks(owner string, links []string) {
	if !x.charge(owner) {
		return
	}

	records := make([]element, 0, len(links))
	for _, link := range links {
		if !strings.Contains(link, "://") {
			link = "http://" + link
		}

		sha, md := urlDigests(link)
		file := &receivedFile{Sample: Sample{Region: x.call.Region, SHA256: sha, MD5: md, URL: link}}
		x.server.storeAccepted(x.call, file, x.server.plan(file.Sample), "")
		record := element{name: "submit-link-info", children: []element{
			{name: "url", text: link}, {name: "sha256", text: sha}, {name: "md5", text: md},
		}}
		records = append(records, record.inStyle(x.style))
	}

	x.sendXML(records...)
}

// isWebURL reports whether the service accepts the URL of a file.
func isWebURL(location string) bool {
	u, err := url.Parse(location)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// acceptableLink reports whether the service accepts the URL of a web page. It accepts one without
// a scheme and nearly any other text, but no scheme except http and https.
func acceptableLink(link string) bool {
	scheme, _, found := strings.Cut(link, "://")
	return link != "" && (!found || strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// filetype returns the service's label for a file, by its first bytes or otherwise by its
// extension.
func filetype(name string, head []byte) string {
	for _, magic := range []struct{ prefix, label string }{
		{"MZ", "PE32 executable"},
		{"\x7fELF", "ELF"},
		{"%PDF", "Adobe PDF document"},
		{"{\\rtf", "RTF"},
		{"PK\x03\x04", "ZIP"},
		{"\xd0\xcf\x11\xe0", "Microsoft Excel 97 - 2003 Document"},
	} {
		if bytes.HasPrefix(head, []byte(magic.prefix)) {
			return magic.label
		}
	}

	switch strings.ToLower(path.Ext(name)) {
	case ".exe", ".dll":
		return "PE32 executable"
	case ".pdf":
		return "Adobe PDF document"
	case ".js":
		return "Jscript for WSH"
	case ".apk":
		return "APK"
	}

	return "Unknown file type"
}
