package wildfiretest

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"backburn/wildfire"
)

// serveVerdict answers for one hash or URL.
func (x *exchange) serveVerdict() {
	form, owner, ok := x.admitForm()
	if !ok {
		return
	}

	hash, link := form.Get("hash"), form.Get("url")
	switch {
	case hash == "" && link == "":
		x.refuse(420, "Missing required field")
		return
	case hash != "" && !isHash(hash):
		x.refuse(421, invalidHashValue)
		return
	}

	if !x.charge(owner) {
		return
	}

	if hash == "" {
		x.sendXML(x.recordOfURL(link))
		return
	}

	x.call.Hashes = 1
	x.sendXML(x.recordsOf(hash)...)
}

// recordOfURL returns the record for a URL. It has the elements analysis_time and valid even
// without a verdict; analysis_time is then empty.
func (x *exchange) recordOfURL(link string) element {
	s := x.server
	s.mu.Lock()
	code, at := wildfire.Unknown, ""
	for _, sample := range s.findURL(x.call.Region, link) {
		code = sample.verdictAt(s.now(), s.unknownFor)
		if when, ok := sample.changedAt(s.now()); ok {
			at = when.UTC().Format(time.RFC3339)
		}
	}

	s.mu.Unlock()
	record := element{name: "get-verdict-info", children: []element{
		{name: "url", text: link},
		{name: "verdict", text: strconv.Itoa(int(code))},
		{name: "analysis_time", text: at},
		{name: "valid", text: "Yes"},
	}}

	return record.inStyle(x.style)
}

// recordsOf returns the records for a hash. For an unknown hash it returns one with the verdict
// unknown.
func (x *exchange) recordsOf(hash string) []element {
	s := x.server
	s.mu.Lock()
	defer s.mu.Unlock()
	hash = strings.ToLower(hash)
	samples := s.find(x.call.Region, hash)
	var records []element
	for _, sample := range samples {
		code := sample.verdictAt(s.now(), s.unknownFor)
		records = append(records, verdictRecord(sample.sha256, sample.md5, int(code), x.style))
	}

	switch {
	case len(samples) == 0 && len(hash) == 32:
		records = append(records, verdictRecord("", hash, int(wildfire.Unknown), x.style))
	case len(samples) == 0:
		records = append(records, verdictRecord(hash, "", int(wildfire.Unknown), x.style))
	case len(samples) == 1 && len(hash) == 32 && x.style.has(ManyForMD5):
		records = append(records, verdictRecord(wrongHash(samples[0].sha256), hash, int(wildfire.Benign), x.style))
	}

	return records
}

func verdictRecord(sha, md string, code int, style Style) element {
	record := element{name: "get-verdict-info", children: []element{
		{name: "sha256", text: sha},
		{name: "verdict", text: strconv.Itoa(code)},
		{name: "md5", text: md},
	}}
	return record.inStyle(style)
}

// serveVerdicts answers for a list of hashes, with one record per line.
func (x *exchange) serveVerdicts() {
	var text string
	seen := false
	form, owner, ok := x.admitList(func(_, content string) { text, seen = content, true })
	if !ok {
		return
	}

	if !seen && !form.Has("file") {
		x.refuse(420, "Missing required field file")
		return
	}

	if !seen {
		text = form.Get("file")
	}

	hashes := strings.Fields(text)
	x.call.Hashes = len(hashes)
	switch {
	case len(hashes) == 0:
		x.refuse(422, "")
		return
	case len(hashes) > wildfire.MaxHashes:
		x.refuse(http.StatusRequestEntityTooLarge, tooMany)
		return
	}

	if !x.charge(owner) {
		return
	}

	records := make([]element, 0, len(hashes))
	for i, hash := range hashes {
		if x.style.has(MissingRecords) && i%2 == 1 {
			continue
		}

		if !isHash(hash) {
			records = append(records, verdictRecord(hash, "", int(wildfire.InvalidHash), x.style))
			continue
		}

		records = append(records, x.recordsOf(hash)[0])
	}

	if x.style.has(Shuffled) {
		random := rand.New(rand.NewPCG(x.server.seed, uint64(len(records)))) // #nosec G404
		random.Shuffle(len(records), func(i, j int) { records[i], records[j] = records[j], records[i] })
	}

	x.sendXML(records...)
}

// serveVerdictsChanged answers with the samples of a region whose verdict changed since a day.
func (x *exchange) serveVerdictsChanged() {
	form, owner, ok := x.admitForm()
	if !ok {
		return
	}

	if !form.Has("date") {
		x.refuse(420, "Missing required field date")
		return
	}

	now := x.server.now().UTC()
	since, err := time.Parse(time.DateOnly, form.Get("date"))
	if err != nil {
		x.refuse(421, "Invalid date")
		return
	}

	if since.After(now) || since.Before(now.Truncate(24*time.Hour).AddDate(0, 0, -30)) {
		x.refuse(http.StatusForbidden, invalidDate)
		return
	}

	if !x.charge(owner) {
		return
	}

	x.sendXML(x.changedSince(since, now)...)
}

// changedSince returns the records of the samples whose verdict changed since a time.
func (x *exchange) changedSince(since, now time.Time) []element {
	s := x.server
	s.mu.Lock()
	defer s.mu.Unlock()
	var records []element
	for key, sample := range s.samples {
		if key.region != x.call.Region || sample.url != "" {
			continue
		}
		if when, ok := sample.changedAt(now); ok && !when.Before(since) {
			records = append(records, verdictRecord(sample.sha256, sample.md5, int(sample.verdictAt(now, s.unknownFor)), x.style))
		}
	}

	slices.SortFunc(records, func(a, b element) int { return strings.Compare(a.children[0].text, b.children[0].text) })

	return records
}

// serveChangeRequest accepts a request to review a verdict.
func (x *exchange) serveChangeRequest() {
	if _, _, ok := x.readChange(true); ok {
		x.sendXML(element{name: "body", text: "verdict change requested"})
	}
}

// serveLocalVerdictChange changes a verdict at once, as the appliance does.
func (x *exchange) serveLocalVerdictChange() {
	sha, verdict, ok := x.readChange(false)
	if !ok {
		return
	}
	x.server.SetVerdict(x.call.Region, sha, verdict)
	x.sendXML(element{name: "body", text: "verdict changed, new verdict:" + strconv.Itoa(int(verdict))})
}

// readChange reads and checks the parameters of both kinds of change. mail says whether an e-mail
// address is required. If a parameter is invalid, readChange answers the call and reports false.
func (x *exchange) readChange(mail bool) (sha string, verdict wildfire.Verdict, ok bool) {
	form, owner, ok := x.admitForm()
	if !ok {
		return "", 0, false
	}

	sha = strings.ToLower(form.Get("hash"))
	code, err := strconv.Atoi(form.Get("verdict"))
	switch {
	case sha == "" || !form.Has("verdict") || !form.Has("comment") || mail && form.Get("email") == "":
		x.refuse(420, "Missing required field")
		return "", 0, false
	case !isHash(sha) || len(sha) != 64 || err != nil || len(form.Get("comment")) > 2048:
		x.refuse(421, "")
		return "", 0, false
	}

	s := x.server
	s.mu.Lock()
	sample := s.samples[sampleKey{x.call.Region, sha}]
	same := sample != nil && sample.verdictAt(s.now(), s.unknownFor) == wildfire.Verdict(code)
	s.mu.Unlock()
	switch {
	case sample == nil:
		x.refuse(http.StatusNotFound, "")
		return "", 0, false
	case same:
		x.refuse(http.StatusExpectationFailed, "")
		return "", 0, false
	}

	return sha, wildfire.Verdict(code), x.charge(owner)
}
