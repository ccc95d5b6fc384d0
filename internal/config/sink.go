package config

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"backburn/pipeline"
)

// Sink hands events on to what does not read NATS.
type Sink struct {
	Name        string        `toml:"name" doc:"1 to 32 of a-z 0-9 _ -. The sink's position in the stream is stored under this name."`
	Kind        string        `toml:"kind" doc:"\"webhook\", \"file\" or \"syslog\"."`
	Types       []string      `toml:"types" doc:"Event types: submitted, verdict, failed, changed, report, audit. Empty: all."`
	Outcomes    []string      `toml:"outcomes" example:"[\"malware\", \"phishing\"]" doc:"Verdicts and reasons. Empty: all."`
	Sources     []string      `toml:"sources" doc:"Sources. Empty: all."`
	Format      string        `toml:"format" doc:"\"cloudevents\", \"ecs\", \"ocsf\" or \"cef\"; docs/formats.md."`
	URL         string        `toml:"url" kinds:"webhook" example:"https://siem.example.com/backburn" doc:"URL to which events are posted, one per request."`
	SecretFile  string        `toml:"secret_file" own:"secret" kinds:"webhook" example:"/run/secrets/siem" doc:"File with the signing key (Standard Webhooks), mode 0600: whsec_ and 24 to 64 bytes in base64. While you replace a key, write both, one per line."`
	BearerFile  string        `toml:"bearer_file" own:"secret" kinds:"webhook" doc:"File with a token for the header Authorization: Bearer, mode 0600."`
	HeadersFile string        `toml:"headers_file" own:"headers" kinds:"webhook" doc:"File with more headers, one \"Name: value\" per line, mode 0600."`
	Address     string        `toml:"address" kinds:"syslog" example:"siem.example.com:6514" doc:"Host and port of the syslog server."`
	Protocol    string        `toml:"protocol" kinds:"syslog" doc:"\"tls\" (RFC 5425), \"tcp\" or \"udp\"."`
	Facility    string        `toml:"facility" kinds:"syslog" doc:"Such as \"user\", \"daemon\" or \"local0\" to \"local7\"."`
	CAFile      string        `toml:"ca_file" own:"true" kinds:"webhook syslog" doc:"PEM file of certificate authorities. Empty: those of the system."`
	CertFile    string        `toml:"cert_file" own:"true" kinds:"webhook syslog" doc:"PEM file with a client certificate. Needs key_file."`
	KeyFile     string        `toml:"key_file" own:"secret" kinds:"webhook syslog" doc:"PEM file with the key, mode 0600."`
	DeadFile    string        `toml:"dead_file" own:"true" kinds:"webhook syslog" example:"data/siem.dead.jsonl" doc:"File for rejected events, with the reason."`
	Timeout     time.Duration `toml:"timeout" kinds:"webhook syslog" doc:"Timeout of one attempt."`
	MaxAttempts int           `toml:"max_attempts" kinds:"webhook" doc:"Attempts for one event that the receiver answers with 500, with back-off from 1s to 1m. Then it goes to dead_file."`
	Path        string        `toml:"path" own:"true" kinds:"file" example:"data/events.jsonl" doc:"The file, with one event per line."`
	Mode        string        `toml:"mode" kinds:"file" doc:"Mode of a new file, in octal."`
	MaxSize     int64         `toml:"max_size" unit:"bytes" kinds:"file" doc:"Size at which the file is rotated, at least 1MB. \"0\": never, for example if logrotate does it."`
	MaxBackups  int           `toml:"max_backups" kinds:"file" doc:"Rotated files to keep. 0: all."`
}

// The values of Sink.Kind.
const (
	SinkWebhook = "webhook"
	SinkFile    = "file"
	SinkSyslog  = "syslog"
)

// SyslogFacilities lists the names of facilities by their number (RFC 5424, section 6.2.1).
func SyslogFacilities() []string {
	return []string{
		"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
		"ntp", "audit", "alert", "clock",
		"local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
	}
}

// Check is the rules of a [[sink]].
func (s Sink) Check(bad func(key, expected string, beside ...string)) {
	want := pipeline.Wants(bad)
	words := []string{"submitted", "verdict", "failed", "changed", "report", "audit"}
	want(pipeline.ValidSource(s.Name), "name", pipeline.SourceRule)
	for i, t := range s.Types {
		want(slices.Contains(words, t), element("types", i), strings.Join(words, ", "))
	}

	for i, v := range s.Outcomes {
		want(pipeline.ValidSource(v), element("outcomes", i), "a verdict or a reason")
	}

	for i, v := range s.Sources {
		want(pipeline.ValidSource(v), element("sources", i), pipeline.SourceRule)
	}

	want(slices.Contains([]string{"cloudevents", "ecs", "ocsf", "cef"}, s.Format), "format", `"cloudevents", "ecs", "ocsf" or "cef"`)

	switch s.Kind {
	case SinkWebhook:
		wantHTTPS(want, "url", s.URL)
		s.checkReceiver(want)
		want(s.MaxAttempts > 0, "max_attempts", "more than 0")
	case SinkSyslog:
		host, port, err := net.SplitHostPort(s.Address)
		want(err == nil && host != "" && port != "" && port != "0", "address", `host and port, such as "siem.example.com:6514"`)
		want(slices.Contains([]string{"tls", "tcp", "udp"}, s.Protocol), "protocol", `"tls", "tcp" or "udp"`)
		want(slices.Contains(SyslogFacilities(), s.Facility), "facility", strings.Join(SyslogFacilities(), ", "))
		want(s.Protocol == "tls" || s.CAFile == "" && s.CertFile == "", "protocol", `"tls" with ca_file or cert_file`)
		s.checkReceiver(want)
	case SinkFile:
		want(s.Path != "", "path", "a file")
		_, err := strconv.ParseUint(s.Mode, 8, 9)
		want(err == nil && modeRule.MatchString(s.Mode), "mode", `octal digits, such as "0600" or "0640": readable and writable for the owner, not writable for all`)
		want(s.MaxSize == 0 || s.MaxSize >= 1_000_000, "max_size", "at least 1MB, or 0 for no limit")
		want(s.MaxBackups >= 0, "max_backups", "0 or more")
	default:
		want(false, "kind", `"webhook", "file" or "syslog"`)
	}
}

// modeRule is the modes that a sink's file may have: nobody executes it, the owner reads and
// writes it, and not everybody writes it.
var modeRule = regexp.MustCompile(`^0?6[046][04]$`)

// checkReceiver is the rules of what goes over the network.
func (s Sink) checkReceiver(want func(ok bool, key, expected string, beside ...string)) {
	want(s.DeadFile != "", "dead_file", "a file for events that are refused")
	want(s.Timeout > 0, "timeout", "more than 0s")
	want((s.CertFile == "") == (s.KeyFile == ""), "cert_file", "cert_file and key_file together", "key_file")
}

// DefaultSink gives what a [[sink]] entry means that names nothing.
func DefaultSink() Sink {
	return Sink{
		Types:       []string{},
		Outcomes:    []string{},
		Sources:     []string{},
		Format:      "cloudevents",
		Protocol:    "tls",
		Facility:    "local0",
		Timeout:     10 * time.Second,
		MaxAttempts: 10,
		Mode:        "0600",
		MaxSize:     100_000_000,
		MaxBackups:  10,
	}
}
