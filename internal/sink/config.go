package sink

import (
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"backburn/internal/loopback"
	"backburn/internal/sink/format"
	"backburn/pipeline"
	"backburn/results"
	"backburn/wildfire"
)

// Config configures a sink: the keys of a [[sink]].
type Config struct {
	Name        string      `toml:"name" doc:"1 to 32 of a-z 0-9 _ -. The sink's position in the stream is stored under this name."`
	Kind        string      `toml:"kind" doc:"\"webhook\", \"file\" or \"syslog\"."`
	Types       []string    `toml:"types" doc:"Event types: submitted, verdict, failed, changed, report, audit. Empty: all."`
	Outcomes    []string    `toml:"outcomes" example:"[\"malware\", \"phishing\"]" doc:"Verdicts and reasons. Empty: all."`
	Sources     []string    `toml:"sources" doc:"Sources. Empty: all."`
	Format      format.Name `toml:"format" doc:"\"cloudevents\", \"ecs\", \"ocsf\" or \"cef\"; docs/formats.md."`
	URL         string      `toml:"url" kinds:"webhook" example:"https://siem.example.com/backburn" doc:"URL to which events are posted, one per request."`
	SecretFile  string      `toml:"secret_file" own:"secret" kinds:"webhook" example:"/run/secrets/siem" doc:"File with the signing key (Standard Webhooks), mode 0600: whsec_ and 24 to 64 bytes in base64. While you replace a key, write both, one per line."`
	BearerFile  string      `toml:"bearer_file" own:"secret" kinds:"webhook" doc:"File with a token for the header Authorization: Bearer, mode 0600."`
	HeadersFile string      `toml:"headers_file" own:"headers" kinds:"webhook" doc:"File with more headers, one \"Name: value\" per line, mode 0600."`
	Address     string      `toml:"address" kinds:"syslog" example:"siem.example.com:6514" doc:"Host and port of the syslog server."`
	Protocol    string      `toml:"protocol" kinds:"syslog" doc:"\"tls\" (RFC 5425), \"tcp\" or \"udp\"."`
	Facility    string      `toml:"facility" kinds:"syslog" doc:"Such as \"user\", \"daemon\" or \"local0\" to \"local7\"."`

	TLSFiles `toml:",inline"`

	DeadFile    string        `toml:"dead_file" own:"true" kinds:"webhook syslog" example:"data/siem.dead.jsonl" doc:"File for rejected events, with the reason. Required."`
	Timeout     time.Duration `toml:"timeout" kinds:"webhook syslog" doc:"Timeout of one attempt."`
	MaxAttempts int           `toml:"max_attempts" kinds:"webhook" doc:"Attempts for one event that the receiver answers with 500 or another error of its own (docs/sinks.md), with back-off from 1s to 1m. Then it goes to dead_file."`
	Path        string        `toml:"path" own:"true" kinds:"file" example:"data/events.jsonl" doc:"The file, with one event per line."`
	Mode        string        `toml:"mode" kinds:"file" doc:"Mode of a new file, in octal."`
	MaxSize     int64         `toml:"max_size" unit:"bytes" kinds:"file" doc:"Size at which the file is rotated, at least 1MB. \"0\": never, for example if logrotate does it."`
	MaxBackups  int           `toml:"max_backups" kinds:"file" doc:"Rotated files to keep. 0: all."`

	// The program sets these; they have no keys.

	Prefix    string        // nats.prefix
	Version   string        // Backburn's version
	UserAgent string        // of a webhook's requests
	Hostname  string        // in syslog messages; defaults to this machine's
	RetryMin  time.Duration // first delay after a failed attempt
	RetryMax  time.Duration // longest delay
	Pause     time.Duration // delay while something is misconfigured
	WarnEvery time.Duration // interval between log messages about a lasting fault
}

// The values of Config.Kind.
const (
	KindWebhook = "webhook"
	KindFile    = "file"
	KindSyslog  = "syslog"
)

// The values of Config.Protocol.
const (
	SyslogTLS = "tls" // RFC 5425
	SyslogTCP = "tcp" // RFC 6587, octet counting
	SyslogUDP = "udp" // RFC 5426
)

// facilities lists the names of facilities by their number (RFC 5424, section 6.2.1).
var facilities = []string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock",
	"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

// Check calls bad for each key with an invalid value.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	names := typeNames()
	want(pipeline.ValidSource(c.Name), "name", pipeline.SourceRule)
	for i, t := range c.Types {
		want(slices.Contains(names, t), element("types", i), strings.Join(names, ", "))
	}

	for i, v := range c.Outcomes {
		want(isOutcome(v), element("outcomes", i), `a verdict, such as "malware", or a reason, such as "too_large" (docs/events.md)`)
	}

	for i, v := range c.Sources {
		want(pipeline.ValidSource(v), element("sources", i), pipeline.SourceRule)
	}

	want(c.Format.Valid(), "format", `"cloudevents", "ecs", "ocsf" or "cef"`)

	switch c.Kind {
	case KindWebhook:
		c.checkURL(want)
		c.checkReceiver(want)
		want(c.MaxAttempts > 0, "max_attempts", "more than 0")
	case KindSyslog:
		host, port, err := net.SplitHostPort(c.Address)
		want(err == nil && host != "" && port != "" && port != "0", "address", `host and port, such as "siem.example.com:6514"`)
		want(slices.Contains([]string{SyslogTLS, SyslogTCP, SyslogUDP}, c.Protocol), "protocol", `"tls", "tcp" or "udp"`)
		want(slices.Contains(facilities, c.Facility), "facility", strings.Join(facilities, ", "))
		want(c.Protocol == SyslogTLS || c.CAFile == "" && c.CertFile == "", "protocol", `"tls" with ca_file or cert_file`)
		c.checkReceiver(want)
	case KindFile:
		want(c.Path != "", "path", "a file")
		want(modeRule.MatchString(c.Mode), "mode", `octal digits, such as "0600" or "0640": readable and writable for the owner, not writable for all`)
		want(c.MaxSize == 0 || c.MaxSize >= 1_000_000, "max_size", "at least 1MB, or 0 for no limit")
		want(c.MaxBackups >= 0, "max_backups", "0 or more")
	default:
		want(false, "kind", `"webhook", "file" or "syslog"`)
	}
}

// modeRule matches the allowed modes of a file: the owner can read and write it, nobody can execute
// it, and only owner and group can write it.
var modeRule = regexp.MustCompile(`^0?6[046][04]$`)

// checkReceiver checks the keys that every receiver on the network has.
func (c Config) checkReceiver(want func(ok bool, key, expected string, related ...string)) {
	want(c.DeadFile != "", "dead_file", "a file for events that are refused")
	want(c.Timeout > 0, "timeout", "more than 0s")
	want((c.CertFile == "") == (c.KeyFile == ""), "cert_file", "cert_file and key_file together", "key_file")
}

// DefaultConfig returns the defaults of a [[sink]].
func DefaultConfig() Config {
	return Config{
		Types:       []string{},
		Outcomes:    []string{},
		Sources:     []string{},
		Format:      format.CloudEvents,
		Protocol:    SyslogTLS,
		Facility:    "local0",
		Timeout:     10 * time.Second,
		MaxAttempts: 10,
		Mode:        "0600",
		MaxSize:     100_000_000,
		MaxBackups:  10,
		RetryMin:    time.Second,
		RetryMax:    time.Minute,
		Pause:       time.Minute,
		WarnEvery:   10 * time.Minute,
	}
}

// checkURL requires https, except for receivers on this machine.
func (c Config) checkURL(want func(ok bool, key, expected string, related ...string)) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		want(false, "url", `an address such as "https://host/path"`)
	case u.User != nil:
		want(false, "url", "no user or password in the address")
	default:
		want(u.Scheme == "https" || loopback.Host(u.Hostname()), "url", "https, because credentials would travel in the clear")
	}
}

// element returns the key of an element of an array.
func element(key string, i int) string { return key + "[" + strconv.Itoa(i) + "]" }

// typeNames lists the names of event types.
func typeNames() []string {
	var names []string
	for _, t := range results.Types() {
		names = append(names, t.Name())
	}

	return names
}

// isOutcome reports whether an event can have the outcome, see results.Event.Outcome.
func isOutcome(v string) bool {
	if verdict, ok := wildfire.ParseVerdict(v); ok && verdict.Final() {
		return true
	}

	return slices.Contains(results.Reasons(), results.Reason(v)) ||
		slices.Contains(results.AuditActions(), results.AuditAction(v)) ||
		v == results.Event{Type: results.Submitted}.Outcome() ||
		v == wildfire.Verdict(math.MaxInt32).String() // a code that has no name here
}

// filter returns the filter for the sink's events.
func (c Config) filter() results.Filter {
	f := results.Filter{Outcomes: c.Outcomes, Sources: c.Sources}
	for _, t := range results.Types() {
		if slices.Contains(c.Types, t.Name()) {
			f.Types = append(f.Types, t)
		}
	}

	return f
}
