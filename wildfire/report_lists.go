package wildfire

import (
	"cmp"
	"math"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// entryCost is the approximate size of an entry in JSON without its strings, in bytes.
const entryCost = 64

// add appends an entry to a list of the report, unless the list is full or has the entry already.
// name is the list's name, and parts are the strings of the entry.
func add[T any](r *reportReader, name string, list *[]T, entry T, parts ...string) {
	key := name + "\x00" + strings.Join(parts, "\x00") // identifies the entry
	if _, ok := r.seen[key]; ok {
		return
	}

	cost := entryCost + len(key)
	if len(*list) == MaxReportEntries || r.bytes[name]+cost > MaxReportListBytes {
		r.report.Truncated = true
		return
	}

	r.seen[key] = struct{}{}
	r.bytes[name] += cost
	*list = append(*list, entry)
}

// clean converts a string of the report to one line of valid UTF-8 with at most MaxReportText
// bytes.
func (r *reportReader) clean(text string) string {
	text = strings.TrimSpace(strings.Map(printableRune, strings.ToValidUTF8(text, "?")))
	if len(text) <= MaxReportText {
		return strings.Clone(text) // a copy, so that the larger string can be freed
	}

	r.report.Truncated = true
	end := MaxReportText
	for !utf8.RuneStart(text[end]) {
		end--
	}

	return strings.Clone(text[:end])
}

// printableRune replaces control characters, line breaks and invisible marks of the writing
// direction, because these can make a text look like another one.
func printableRune(r rune) rune {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029':
		return ' '
	case unicode.Is(unicode.Bidi_Control, r):
		return '?'
	}

	return r
}

// addPlatform adds the environment whose report has just ended.
func (r *reportReader) addPlatform() {
	p := r.platform
	if p != (Platform{}) {
		add(r, "platform", &r.report.Platforms, p, p.ID, p.Name, p.Malware)
	}
}

func (r *reportReader) addBehavior(id, text, details, kind, score string) {
	b := Behavior{
		ID:      r.clean(id),
		Text:    r.clean(text),
		Details: r.clean(details),
		Kind:    r.clean(kind),
		Score:   parseScore(score),
	}
	if b.Text == "" {
		b.Text, b.Details = b.Details, ""
	}
	if b.Text != "" {
		add(r, "behavior", &r.report.Behaviors, b, b.ID, b.Text, b.Details, b.Kind)
	}
}

// parseScore parses a score. It returns 0 for anything but a number from 0 to 1,000.
func parseScore(text string) float64 {
	score, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if err != nil || math.IsNaN(score) || score < 0 || score > 1000 {
		return 0
	}

	return score
}

func (r *reportReader) addProcess(name, command, pid string) {
	p := Process{Name: r.clean(name), Command: r.clean(command), PID: r.clean(pid)}
	if p.Name != "" || p.Command != "" {
		add(r, "process", &r.report.Processes, p, p.Name, p.Command, p.PID)
	}
}

func (r *reportReader) addRegistryKey(f frame) {
	k := RegistryKey{Key: r.clean(f.attr("key")), Value: r.clean(f.attr("subkey")), Data: r.clean(f.attr("data"))}
	if k.Key != "" {
		add(r, "registry", &r.report.RegistryKeys, k, k.Key, k.Value, k.Data)
	}
}

// addText adds a string of the report to a list, unless it is empty.
func (r *reportReader) addText(name string, list *[]string, text string) {
	if text = r.clean(text); text != "" {
		add(r, name, list, text, text)
	}
}

// addWrittenFile adds a file that the sample wrote and, if WildFire hashed it, a dropped file.
func (r *reportReader) addWrittenFile(f frame, path string) {
	r.addText("written", &r.report.FilesWritten, path)
	r.addDroppedFile(f, path)
}

// addDroppedFile adds a file that has a hash and is not the sample itself. If a file occurs in
// several sections of the report, its type and size may be in only one of them, so the data is
// merged.
func (r *reportReader) addDroppedFile(f frame, path string) {
	d := DroppedFile{
		Path:   r.clean(path),
		Size:   parseSize(f.attr("size")),
		SHA256: parseDigest(f.attr("sha256"), sha256Length),
		SHA1:   parseDigest(f.attr("sha1"), sha1Length),
		MD5:    parseDigest(f.attr("md5"), md5Length),
	}
	if kind := r.clean(f.attr("type")); len(kind) <= maxFileType {
		d.Type = kind
	}

	hash := cmp.Or(d.SHA256, d.MD5, d.SHA1)
	if hash == "" || hash == r.report.SHA256 || hash == r.report.MD5 {
		return
	}

	for i := range r.report.Dropped {
		if known := &r.report.Dropped[i]; known.Path == d.Path && known.SHA256 == d.SHA256 && known.MD5 == d.MD5 {
			setFirst(&known.Type, d.Type)
			known.Size = cmp.Or(known.Size, d.Size)

			return
		}
	}

	add(r, "dropped", &r.report.Dropped, d, d.SHA256, d.SHA1, d.MD5, d.Path, d.Type)
}

// maxFileType is the longest file type that is kept, in bytes.
const maxFileType = 32

func (r *reportReader) addConnection(f frame) {
	ip, ok := addressOf(f.attr("ip"))
	if !ok {
		return
	}

	port, err := strconv.ParseUint(strings.TrimSpace(f.attr("port")), 10, 16)
	if err != nil {
		port = 0
	}

	c := Connection{Protocol: f.name, IP: ip, Port: int(port), Country: r.clean(f.attr("country"))}
	add(r, "connection", &r.report.Connections, c, c.Protocol, ip, strconv.Itoa(c.Port), c.Country)
	add(r, "ip", &r.report.IPs, ip, ip)
}

// addRequest adds the URL, the host and the user agent of an HTTP request. The report has the URL
// without its scheme. That is http, because WildFire can see only requests that are not encrypted.
func (r *reportReader) addRequest(f frame) {
	host, uri := strings.TrimSpace(f.attr("host")), strings.TrimSpace(f.attr("uri"))
	if host != "" && !strings.Contains(uri, "://") {
		uri = "http://" + host + "/" + strings.TrimPrefix(uri, "/")
	}
	r.addURL(uri)
	r.addHost(host)
	r.addText("agent", &r.report.UserAgents, f.attr("user_agent"))
}

func (r *reportReader) addURL(text string) {
	if address, ok := r.parseURL(text); ok {
		add(r, "url", &r.report.URLs, address, address)
	}
}

func (r *reportReader) addLink(f frame, text string) {
	if address, ok := r.parseURL(cmp.Or(f.attr("url"), text)); ok {
		verdict := r.clean(f.attr("verdict"))
		add(r, "link", &r.report.Links, EmbeddedLink{URL: address, Verdict: verdict}, address, verdict)
	}
}

// parseURL returns an absolute URL. It adds http:// if the text has no scheme. It returns false if
// the text is not a URL, or is longer than MaxReportText: cutting would make it a different URL.
func (r *reportReader) parseURL(text string) (string, bool) {
	text = strings.TrimSpace(text)
	if text == "" {
		return "", false
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}

	if len(text) > MaxReportText {
		r.report.Truncated = true
		return "", false
	}

	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" || r.clean(text) != text || strings.ContainsAny(text, " \t") {
		return "", false
	}

	return strings.Clone(text), true
}

// addHost adds a host to the list of IP addresses or of domains. The text may have a port.
func (r *reportReader) addHost(text string) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	r.addIP(strings.Trim(text, "[]"))
	r.addDomain(text)
}

func (r *reportReader) addIP(text string) {
	if ip, ok := addressOf(text); ok {
		add(r, "ip", &r.report.IPs, ip, ip)
	}
}

// addressOf parses an IP address. It returns false for an address with a zone, 0.0.0.0 and ::.
func addressOf(text string) (string, bool) {
	ip, err := netip.ParseAddr(strings.TrimSpace(text))
	if err != nil || ip.Zone() != "" || ip.IsUnspecified() {
		return "", false
	}

	return ip.Unmap().String(), true
}

func (r *reportReader) addDomain(text string) {
	if domain, ok := domainOf(text); ok {
		add(r, "domain", &r.report.Domains, domain, domain)
	}
}

// domainOf parses a domain name of at least two labels in ASCII. A label may have "_", as names of
// services do.
func domainOf(text string) (string, bool) {
	domain := strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text)), ".")
	if len(domain) > maxDomain || !strings.Contains(domain, ".") {
		return "", false
	}

	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > maxLabel || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "", false
		}
	}

	if _, ok := addressOf(domain); ok {
		return "", false
	}

	return strings.Clone(domain), true
}
