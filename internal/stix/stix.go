// Package stix writes WildFire's report about a file as a bundle of STIX 2.1 (OASIS Standard "STIX
// Version 2.1"), for threat intelligence platforms.
//
// The same document with the same time results in the same bundle, including identifiers, so a
// bundle may be imported twice. Nothing is defanged.
package stix

import (
	"cmp"
	"errors"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/google/uuid"

	"backburn/wildfire"
)

// Bundle is a bundle of STIX 2.1.
type Bundle struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Objects []any  `json:"objects"`
}

// ErrNoHash says that a report has no hash of its file.
var ErrNoHash = errors.New("the report holds no hash of the file")

// New makes a bundle of a report that was fetched at the given time: the file, the hosts and URLs
// it contacted and the files it dropped, with an indicator for each, and WildFire's verdict. Hosts
// and URLs that WildFire found in an executable count as contacted.
//
// Malware also contacts harmless hosts, so their indicators are anomalous activity. Private,
// link-local, loopback and multicast addresses have no indicator.
func New(r wildfire.Report, at time.Time) (Bundle, error) {
	sampleHash := cmp.Or(r.SHA256, r.SHA1, r.MD5)
	if sampleHash == "" {
		return Bundle{}, ErrNoHash
	}

	b := builder{
		sampleHash: sampleHash,
		at:         at.UTC().Format(timeFormat),
		seen:       map[string]bool{},
	}
	b.creator = b.identity()
	sample := b.file(hashesOf(r.SHA256, r.SHA1, r.MD5), "", r.Size)
	malware := b.malware(r, sample)

	b.indicate(malware, sampleType(r.Malware), hashPattern(r.SHA256, r.SHA1, r.MD5), "The file "+sampleHash)
	for _, domain := range r.Domains {
		b.contacted(malware, b.value("domain-name", domain), "domain-name", domain)
	}
	for _, ip := range r.IPs {
		b.address(malware, ip)
	}
	for _, link := range r.URLs {
		b.url(malware, link)
	}
	for _, f := range r.Dropped {
		b.dropped(malware, f)
	}
	b.analysis(r, sample)

	return Bundle{
		Type:    "bundle",
		ID:      b.id("bundle", ""),
		Objects: b.objects,
	}, nil
}

// timeFormat is how STIX writes times.
const timeFormat = "2006-01-02T15:04:05.000Z"

// builder collects the objects of a bundle, each of them once.
type builder struct {
	sampleHash string // hash of the file that the report is about
	at         string // when the report was fetched
	creator    string // identifier of WildFire
	objects    []any
	seen       map[string]bool
	found      []string // identifiers of the observables, the file itself first
}

// add adds an object. It returns false if the bundle already has it.
func (b *builder) add(id string, object any) bool {
	if b.seen[id] {
		return false
	}
	b.seen[id] = true
	b.objects = append(b.objects, object)

	return true
}

// id returns an identifier that is derived from the report and the given parts.
func (b *builder) id(kind, what string) string {
	return kind + "--" + uuid.NewSHA1(findings, []byte(b.sampleHash+" "+b.at+" "+kind+" "+what)).String()
}

// domain starts a domain object.
func (b *builder) domain(kind, what string) domain {
	return domain{
		common:    common{Type: kind, SpecVersion: specVersion, ID: b.id(kind, what)},
		CreatedBy: b.creator,
		Created:   b.at,
		Modified:  b.at,
	}
}

// identity adds WildFire, the creator of all domain objects, and returns its identifier.
func (b *builder) identity() string {
	d := b.domain("identity", "")
	d.CreatedBy = ""
	b.add(d.ID, identity{
		domain: d,
		Name:   "Palo Alto Networks WildFire",
		Class:  "system",
	})

	return d.ID
}

// malware adds the file as malware and returns its identifier; "" unless that is WildFire's
// verdict.
func (b *builder) malware(r wildfire.Report, sample string) string {
	if r.Malware != "yes" {
		return ""
	}

	d := b.domain("malware", "")
	b.add(d.ID, malware{
		domain:  d,
		Name:    "Malware " + b.sampleHash,
		Samples: []string{sample},
	})

	return d.ID
}

// analysis adds WildFire's verdict with the observations of its analysis.
func (b *builder) analysis(r wildfire.Report, sample string) {
	d := b.domain("malware-analysis", "")
	b.add(d.ID, analysis{
		domain:   d,
		Product:  "wildfire",
		Result:   result(r.Malware),
		Sample:   sample,
		Observed: b.found[1:],
	})
}

// result converts the report's result to the vocabulary of STIX.
func result(word string) string {
	switch word {
	case "yes":
		return "malicious"
	case "grayware":
		return "suspicious"
	case "no":
		return "benign"
	}

	return "unknown"
}

// sampleType is the indicator type of the file's hash.
func sampleType(word string) string {
	switch word {
	case "yes":
		return "malicious-activity"
	case "no":
		return "benign"
	}

	return "anomalous-activity"
}

// indicate adds an indicator, related to the malware if there is one.
func (b *builder) indicate(malware, kind, pattern, name string) {
	d := b.domain("indicator", pattern)
	b.add(d.ID, indicator{
		domain:      d,
		Name:        name,
		Types:       []string{kind},
		Pattern:     pattern,
		PatternType: "stix",
		ValidFrom:   b.at,
	})
	b.relate(d.ID, "indicates", malware)
}

// relate adds a relationship, unless one of its ends is missing.
func (b *builder) relate(source, how, target string) {
	if source == "" || target == "" {
		return
	}

	d := b.domain("relationship", source+" "+how+" "+target)
	b.add(d.ID, relationship{
		domain: d,
		Kind:   how,
		Source: source,
		Target: target,
	})
}

// contacted adds the indicator and relationships of an observable that the file contacted or
// contains.
func (b *builder) contacted(malware, id, kind, value string) {
	b.relate(malware, "communicates-with", id)
	b.indicate(malware, "anomalous-activity", "["+kind+":value = "+quoted(value)+"]", "Contacted by "+b.sampleHash)
}

// address adds an IP address. A private address has no indicator.
func (b *builder) address(malware, text string) {
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return
	}

	kind := "ipv6-addr"
	if ip = ip.Unmap().WithZone(""); ip.Is4() {
		kind = "ipv4-addr"
	}
	id := b.value(kind, ip.String())
	if ip.IsGlobalUnicast() && !ip.IsPrivate() {
		b.contacted(malware, id, kind, ip.String())
		return
	}
	b.relate(malware, "communicates-with", id)
}

// url adds a URL. Text that is not a URL by RFC 3986 is left out.
func (b *builder) url(malware, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || strings.ContainsFunc(text, notInURL) {
		return
	}

	b.contacted(malware, b.value("url", text), "url", text)
}

// notInURL reports whether a character must be escaped in a URL.
func notInURL(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r) }

// dropped adds a file that the sample wrote.
func (b *builder) dropped(malware string, f wildfire.DroppedFile) {
	hashes := hashesOf(f.SHA256, f.SHA1, f.MD5)
	if len(hashes) == 0 {
		return
	}

	id := b.file(hashes, path.Base(strings.ReplaceAll(f.Path, `\`, "/")), f.Size)
	b.relate(malware, "drops", id)
	b.indicate(malware, "anomalous-activity", hashPattern(f.SHA256, f.SHA1, f.MD5), "Dropped by "+b.sampleHash)
}

// observe adds an observation of the analysis.
func (b *builder) observe(id string, object any) {
	if b.add(id, object) {
		b.found = append(b.found, id)
	}
}

// file adds a file as an observable. The names "." and "/" stand for none.
func (b *builder) file(hashes map[string]string, name string, size int64) string {
	if name == "." || name == "/" {
		name = ""
	}

	o := observable("file", fileKey(hashes, name))
	b.observe(o.ID, file{
		common: o,
		Hashes: hashes,
		Name:   name,
		Size:   size,
	})

	return o.ID
}

// value adds an observable whose only property is its value.
func (b *builder) value(kind, text string) string {
	o := observable(kind, map[string]any{"value": text})
	b.observe(o.ID, valueObservable{
		common: o,
		Value:  text,
	})

	return o.ID
}

// hashesOf returns hashes under their names in STIX.
func hashesOf(sha256, sha1, md5 string) map[string]string {
	hashes := map[string]string{}
	for name, hash := range map[string]string{"SHA-256": sha256, "SHA-1": sha1, "MD5": md5} {
		if hash != "" {
			hashes[name] = hash
		}
	}

	return hashes
}

// hashPattern matches a file by the strongest of its hashes.
func hashPattern(sha256, sha1, md5 string) string {
	switch {
	case sha256 != "":
		return "[file:hashes.'SHA-256' = " + quoted(sha256) + "]"
	case sha1 != "":
		return "[file:hashes.'SHA-1' = " + quoted(sha1) + "]"
	}

	return "[file:hashes.MD5 = " + quoted(md5) + "]"
}

// quoted returns a text as a string of the pattern language.
func quoted(text string) string { return "'" + patternEscapes.Replace(text) + "'" }

var patternEscapes = strings.NewReplacer(`\`, `\\`, `'`, `\'`)
