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

// add appends an entry to a list of the report, unless the list has it or is full. parts are the
// strings of the entry.
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

// clean reduces a string of the report to one line of valid UTF-8 with at most MaxReportText bytes.
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

// printableRune replaces control characters, line breaks and invisible direction marks, which can
// make one text look like another.
func printableRune(r rune) rune {
	switch {
	case unicode.IsControl(r), r == '\u2028', r == '\u2029':
		return ' '
	case unicode.Is(unicode.Bidi_Control, r):
		return '?'
	}

	return r
}

// addPlatform adds the environment that was read last.
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

// parseScore parses a score; anything other than a number from 0 to 1,000 is 0.
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

func (r *reportReader) addMutex(name string) {
	if name = r.clean(name); name != "" && name != "<NULL>" {
		add(r, "mutex", &r.report.Mutexes, name, name)
	}
}

func (r *reportReader) addWrittenFile(path string) {
	if path = r.clean(path); path != "" {
		add(r, "written", &r.report.FilesWritten, path, path)
	}
}

// addDroppedFile adds a file with a hash, unless it is the sample itself. A file can occur in
// several sections of a report, and only some have its type and size.
func (r *reportReader) addDroppedFile(f frame, path string) {
	d := DroppedFile{
		Path:   r.clean(path),
		Size:   parseSize(f.attr("size")),
		SHA256: hashOf(strings.TrimSpace(f.attr("sha256")), sha256Length),
		SHA1:   sha1Of(f.attr("sha1")),
		MD5:    hashOf(strings.TrimSpace(f.attr("md5")), md5Length),
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

// maxFileType is the longest valid file type, in bytes.
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

// addRequest adds the URL, the host and the user agent of an HTTP request. The report has no
// scheme, so it adds http://, because the sandbox saw the request unencrypted.
func (r *reportReader) addRequest(f frame) {
	host, uri := strings.TrimSpace(f.attr("host")), strings.TrimSpace(f.attr("uri"))
	if host != "" && !strings.Contains(uri, "://") {
		uri = "http://" + host + "/" + strings.TrimPrefix(uri, "/")
	}
	r.addURL(uri)
	r.addHost(host)
	if agent := r.clean(f.attr("user_agent")); agent != "" {
		add(r, "agent", &r.report.UserAgents, agent, agent)
	}
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

// parseURL returns an absolute URL. It adds http://, which WildFire omits. It returns false if the
// text is no URL or is too long, because a truncated URL would be a different one.
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

// addHost adds a host, with or without a port, to the addresses or the domains.
func (r *reportReader) addHost(text string) {
	if host, _, err := net.SplitHostPort(text); err == nil {
		text = host
	}
	if _, ok := addressOf(strings.Trim(text, "[]")); ok {
		r.addIP(strings.Trim(text, "[]"))
		return
	}
	r.addDomain(text)
}

func (r *reportReader) addIP(text string) {
	if ip, ok := addressOf(text); ok {
		add(r, "ip", &r.report.IPs, ip, ip)
	}
}

// addressOf parses an IP address without a zone.
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

// domainOf parses a domain name of at least two ASCII labels. Service labels begin with "_".
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
