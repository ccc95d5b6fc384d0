package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"backburn/auth"
	"backburn/internal/httpserver"
	"backburn/pipeline"
	"backburn/pipeline/watch"
	"backburn/wildfire"
)

// Config is the whole configuration, put together from the structs of those who own the keys.
// It is a value: copy it freely, but do not write to the maps and slices that copies share.
type Config struct {
	NATS     NATS                    `toml:"nats" doc:"The NATS server or cluster that holds the queue and all other state."`
	Watch    []watch.Config          `toml:"watch" doc:"A folder to watch. The first [[watch]] entry of a file replaces the default one. To watch no folder, write watch = [] at the top of the file."`
	WildFire WildFire                `toml:"wildfire" doc:"How to reach WildFire, and how much of its quota to use."`
	Pipeline pipeline.Config         `toml:",inline"`
	Dead     DeadLetters             `toml:"dead_letters" doc:"Limits for dead letters, which are failed jobs. The oldest of each reason and source are removed first."`
	Results  Results                 `toml:"results" doc:"Limits for the stream of events. The oldest are removed first."`
	Auth     map[string]auth.Profile `toml:"auth" doc:"A credential. A secret is given by a file name or by exactly one ${NAME}, and never in this file. Files are read again before every token request. The keys depend on the kind."`
	HTTP     HTTP                    `toml:"http" doc:"Health, metrics, status and the dashboard: /healthz, /readyz, /metrics, /api/status, /."`
	API      API                     `toml:"api" doc:"An HTTP API for gateways that do not speak NATS; docs/openapi.yaml. It needs TLS, unless it listens on a loopback address."`
	Clamd    Clamd                   `toml:"clamd" doc:"A server for the protocol of ClamAV's clamd; docs/clamd.md."`
	Mail     Mail                    `toml:"mail" doc:"A milter that checks the attachments of mail; docs/mail.md."`
	Sink     []Sink                  `toml:"sink" reload:"true" doc:"Delivery of events to a receiver that does not read NATS; docs/sinks.md."`
	Tracing  Tracing                 `toml:"tracing" doc:"OpenTelemetry traces of jobs; docs/tracing.md."`
	Log      Log                     `toml:"log" doc:"Logs go to standard error."`

	origin *origin
}

// NATS says how to reach the server, or the cluster, through which everything goes.
type NATS struct {
	URL             string   `toml:"url" doc:"Servers, separated by commas for a cluster (nats, tls, ws, wss)."`
	CredentialsFile string   `toml:"credentials_file" own:"secret" doc:"NATS .creds file, mode 0600."`
	NKeyFile        string   `toml:"nkey_file" own:"secret" doc:"Or a file with the seed of an NKey, mode 0600."`
	User            string   `toml:"user" doc:"Or a user name, with password_file."`
	PasswordFile    string   `toml:"password_file" own:"secret" doc:"A file with the user's password, mode 0600."`
	TokenFile       string   `toml:"token_file" own:"secret" doc:"Or a file with a token, mode 0600. Empty, with the embedded server: <store_dir>.token, which the server writes."`
	Domain          string   `toml:"domain" doc:"The JetStream domain of the streams, if url is a leaf node of another server."`
	Prefix          string   `toml:"prefix" doc:"First token of every subject, and first part of the names of streams and buckets."`
	Replicas        int      `toml:"replicas" doc:"Copies of streams and buckets: 1, or 3 or 5 on a cluster."`
	TLS             TLS      `toml:"tls" doc:"TLS for the connection to the NATS server."`
	Embedded        Embedded `toml:"embedded" doc:"The NATS server that backburn run starts on nats.url. watcher and worker do not start one."`
}

// TLS names the PEM files of a TLS connection. An empty CAFile means the authorities
// that the system trusts; without CertFile and KeyFile the client shows no certificate.
type TLS struct {
	CAFile   string `toml:"ca_file" own:"true" doc:"PEM file of certificate authorities. Empty: those of the system."`
	CertFile string `toml:"cert_file" own:"true" doc:"PEM file with the client certificate. Needs key_file."`
	KeyFile  string `toml:"key_file" own:"secret" doc:"PEM file with the key, mode 0600."`
}

// Embedded is the NATS server that `backburn run` starts in its own process.
type Embedded struct {
	Enabled    bool   `toml:"enabled" doc:"Start the embedded server."`
	StoreDir   string `toml:"store_dir" own:"true" doc:"Folder of the streams, for one server at a time. It must be on a local disk."`
	SyncAlways bool   `toml:"sync_always" doc:"Sync every message to the disk before it is acknowledged. false: a power failure can lose up to 2 minutes."`
}

// URLs splits the list of servers.
func (n NATS) URLs() []string {
	var urls []string
	for u := range strings.SplitSeq(n.URL, ",") {
		urls = append(urls, strings.TrimSpace(u))
	}

	return urls
}

// Loopback returns where the embedded server listens. Port 0 means any free one.
func (n NATS) Loopback() (host string, port int, err error) {
	urls := n.URLs()
	u, err := url.Parse(urls[0])
	if err != nil || len(urls) != 1 || u.Scheme != "nats" || !auth.Loopback(u.Hostname()) {
		return "", 0, errors.New(`one address of this machine alone, such as "nats://127.0.0.1:4222", for the embedded ` +
			`server (or nats.embedded.enabled = false)`)
	}

	const natsPort = 4222
	if port = natsPort; u.Port() != "" {
		if port, err = strconv.Atoi(u.Port()); err != nil || port > 65535 {
			return "", 0, errors.New("a port of 0 to 65535")
		}
	}

	return u.Hostname(), port, nil
}

// TokenFile is where the embedded server keeps the token that clients must show, mode
// 0600. It stands beside the store, so that a backup of the store does not contain it.
func (e Embedded) TokenFile() string {
	return strings.TrimRight(filepath.Clean(e.StoreDir), string(filepath.Separator)) + ".token"
}

// Check is the rules of [nats].
func (n NATS) Check(bad func(key, expected string, beside ...string)) {
	want := wants(bad)
	for _, s := range n.URLs() {
		u, err := url.Parse(s)
		want(err == nil && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) && u.Hostname() != "",
			"url", `servers such as "nats://127.0.0.1:4222", separated by commas`)
		want(err != nil || u.User == nil, "url",
			"no user or password in the address; use nats.user and nats.password_file")
	}
	want(pipeline.ValidSource(n.Prefix), "prefix", nameRule)
	want(slices.Contains([]int{1, 3, 5}, n.Replicas), "replicas", "1, 3 or 5")
	want(n.Replicas <= 1 || !n.Embedded.Enabled, "replicas",
		"1, because the embedded server is alone; a cluster needs nats.embedded.enabled = false", "embedded.enabled")
	n.checkCredentials(want)
	want(n.Domain == "" || domainName.MatchString(n.Domain), "domain", "1 to 64 of A-Z, a-z, 0-9, _ and -")
	want(n.Domain == "" || !n.Embedded.Enabled, "domain",
		"none, because the embedded server has no domain; another server needs nats.embedded.enabled = false", "embedded.enabled")
	want(n.TLS.CertFile == "" || n.TLS.KeyFile != "", "tls.key_file", "a file with the key of nats.tls.cert_file", "tls.cert_file")
	want(n.TLS.KeyFile == "" || n.TLS.CertFile != "", "tls.cert_file", "a file with the certificate of nats.tls.key_file", "tls.key_file")
	want(!n.Embedded.Enabled || n.Embedded.StoreDir != "", "embedded.store_dir", "a folder")
}

// domainName is what the server takes for a JetStream domain, which is one token of a subject.
var domainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// checkCredentials allows one way to prove who a client is, and that one whole.
func (n NATS) checkCredentials(want func(ok bool, key, expected string, beside ...string)) {
	first := ""
	for _, way := range []struct{ key, value string }{
		{"credentials_file", n.CredentialsFile},
		{"nkey_file", n.NKeyFile},
		{"user", n.User},
		{"token_file", n.TokenFile},
	} {
		if way.value == "" {
			continue
		}
		want(first == "", way.key, "either this or nats."+first, first)
		first = cmp.Or(first, way.key)
	}
	want(n.User == "" || n.PasswordFile != "", "password_file", "a file with the password of nats.user", "user")
	want(n.PasswordFile == "" || n.User != "", "user", "the user of nats.password_file", "password_file")
}

// WildFire says how to reach WildFire, and with which credentials.
type WildFire struct {
	Client wildfire.Config `toml:",inline"`
	Auth   string          `toml:"auth" doc:"The [auth.*] profile to use."`
}

// Results limits the stream of events. The oldest go first.
type Results struct {
	MaxAge   time.Duration `toml:"max_age" doc:"How long events and the records of finished jobs are kept; at least verdicts.deadline."`
	MaxBytes int64         `toml:"max_bytes" unit:"bytes" doc:"Total size of events. The oldest are removed first."`
}

// Check is the rules of [results].
func (r Results) Check(bad func(key, expected string, beside ...string)) {
	wants(bad)(r.MaxBytes > 0, "max_bytes", "more than 0")
}

// DeadLetters limits the stream of failed jobs.
type DeadLetters struct {
	MaxAge         time.Duration `toml:"max_age" doc:"How long dead letters are kept that need an operator."`
	ExpectedMaxAge time.Duration `toml:"expected_max_age" doc:"How long those of ordinary outcomes (unsupported_type, empty, too_large, withheld) are kept."`
	MaxLetters     int           `toml:"max_letters" doc:"Most dead letters of one reason and source."`
	MaxBytes       int64         `toml:"max_bytes" unit:"bytes" doc:"Total size of all dead letters."`
}

// Check is the rules of [dead_letters].
func (d DeadLetters) Check(bad func(key, expected string, beside ...string)) {
	want := wants(bad)
	want(d.MaxAge >= time.Minute, "max_age", "at least 1m")
	want(d.ExpectedMaxAge >= time.Minute, "expected_max_age", "at least 1m")
	want(d.ExpectedMaxAge <= d.MaxAge, "expected_max_age", "at most dead_letters.max_age", "max_age")
	want(d.MaxLetters > 0, "max_letters", "more than 0")
	want(d.MaxBytes > 0, "max_bytes", "more than 0")
}

// HTTP is the listener for health, metrics, status and the dashboard.
type HTTP struct {
	httpserver.Config `toml:",inline"`

	Pprof bool `toml:"pprof" doc:"Also serve /debug/pprof/. Do not use it on an address that others can reach."`
}

// API is the HTTP API for gateways that do not speak NATS.
type API struct {
	httpserver.Config `toml:",inline"`

	MaxFileSize int64      `toml:"max_file_size" unit:"bytes" doc:"Largest file that is accepted."`
	Tokens      []APIToken `toml:"token" doc:"A token for clients (Authorization: Bearer), and what it allows. The API needs at least one."`
}

// Check is the rules of [api] that its listener does not have.
func (a API) Check(bad func(key, expected string, beside ...string)) {
	want := wants(bad)
	want(a.Listen == "" || len(a.Tokens) > 0, "token", "at least one [[api.token]]", "listen")
	want(a.Listen == "" || a.Local() || a.WebConfigFile != "", "listen",
		"api.web_config_file with TLS as well, because tokens would travel in the clear", "web_config_file")
	want(a.MaxFileSize > 0, "max_file_size", "more than 0")
}

// APIToken is what one client, or one kind of client, shows.
type APIToken struct {
	File     string            `toml:"file" own:"secret" example:"/run/secrets/backburn-api" doc:"File with the token, mode 0600, at least 16 characters, such as from: openssl rand -hex 32. Read again every second."`
	Source   string            `toml:"source" doc:"Source of the jobs submitted with this token. The token sees only jobs and events of this source. Several tokens may share a source."`
	Priority pipeline.Priority `toml:"priority" doc:"Default priority of a request: \"urgent\", \"normal\" or \"bulk\"."`
	Urgent   bool              `toml:"urgent" doc:"Allow requests with the priority urgent."`
	Rate     float64           `toml:"rate" doc:"Submissions per second. More are answered with 429. 0: no limit."`
	Burst    int               `toml:"burst" doc:"Submissions that may arrive at once without being limited."`
}

// Check is the rules of an [[api.token]].
func (t APIToken) Check(bad func(key, expected string, beside ...string)) {
	want := wants(bad)
	want(t.File != "", "file", "a file with the token, mode 0600")
	want(pipeline.ValidSource(t.Source), "source", nameRule)
	want(t.Priority.Valid(), "priority", `"urgent", "normal" or "bulk"`)
	want(t.Priority != pipeline.Urgent || t.Urgent, "priority", `"normal" or "bulk", or urgent = true beside it`, "urgent")
	want(t.Rate >= 0 && t.Rate <= 1e6, "rate", "a number from 0 to 1000000") // not NaN
	want(t.Burst >= 1, "burst", "1 or more")
}

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
	want := wants(bad)
	words := []string{"submitted", "verdict", "failed", "changed", "report", "audit"}
	want(pipeline.ValidSource(s.Name), "name", nameRule)
	for i, t := range s.Types {
		want(slices.Contains(words, t), element("types", i), strings.Join(words, ", "))
	}
	for i, v := range s.Outcomes {
		want(pipeline.ValidSource(v), element("outcomes", i), "a verdict or a reason")
	}
	for i, v := range s.Sources {
		want(pipeline.ValidSource(v), element("sources", i), nameRule)
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

// Tracing says where spans go.
type Tracing struct {
	Endpoint string  `toml:"endpoint" doc:"URL of an OTLP/HTTP collector, such as \"http://127.0.0.1:4318\". Empty: no traces."`
	Sample   float64 `toml:"sample" doc:"Share of traces to sample, 0 to 1. For a trace that a gateway began, the gateway decides."`
}

// Check is the rules of [tracing]. It allows http towards other machines too: spans hold no
// credentials, and collectors that stand beside the process rarely speak TLS.
func (t Tracing) Check(bad func(key, expected string, beside ...string)) {
	want := wants(bad)
	if t.Endpoint != "" {
		u, err := url.Parse(t.Endpoint)
		want(err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "",
			"endpoint", `an address such as "http://127.0.0.1:4318", or "" for none`)
		want(err != nil || u.User == nil && u.RawQuery == "" && u.Fragment == "", "endpoint",
			"no user, password or query in the address; OTEL_EXPORTER_OTLP_HEADERS is for credentials")
	}
	want(t.Sample >= 0 && t.Sample <= 1, "sample", "a number from 0 to 1") // not NaN
}

// Log says what is logged, and in which shape. Logs go to standard error.
type Log struct {
	Level  string `toml:"level" reload:"true" doc:"\"trace\", \"debug\", \"info\", \"warn\" or \"error\"."`
	Format string `toml:"format" doc:"\"auto\" (console on a terminal, JSON elsewhere), \"console\" or \"json\"."`
}

// Check is the rules of [log].
func (l Log) Check(bad func(key, expected string, beside ...string)) {
	want := wants(bad)
	want(slices.Contains([]string{"trace", "debug", "info", "warn", "error"}, l.Level), "level",
		`"trace", "debug", "info", "warn" or "error"`)
	want(slices.Contains([]string{"auto", "console", "json"}, l.Format), "format", `"auto", "console" or "json"`)
}

// Default gives the configuration that an empty file means: one machine, the embedded
// server, the folder "quarantine" in the working directory, and no credentials.
//
// A file that has any [[watch]] replaces the one of the defaults; `watch = []` means
// none. The profile auth.wildfire is there whether or not a file speaks of it.
func Default() Config {
	quarantine := watch.DefaultConfig()
	quarantine.Path = "quarantine"
	quarantine.Complete()

	return Config{
		NATS: NATS{
			URL:      "nats://127.0.0.1:4222",
			Prefix:   "backburn",
			Replicas: 1,
			Embedded: Embedded{Enabled: true, StoreDir: "data/nats", SyncAlways: true},
		},
		Watch:    []watch.Config{quarantine},
		WildFire: WildFire{Client: wildfire.DefaultConfig(), Auth: "wildfire"},
		Pipeline: pipeline.DefaultConfig(),
		Dead:     DeadLetters{MaxAge: 2160 * time.Hour, ExpectedMaxAge: 168 * time.Hour, MaxLetters: 10_000, MaxBytes: 512 << 20},
		Results:  Results{MaxAge: 720 * time.Hour, MaxBytes: 10 << 30},
		Auth:     map[string]auth.Profile{"wildfire": DefaultProfile("wildfire", auth.KindWildFire)},
		HTTP:     HTTP{Config: listener("127.0.0.1:9464")},
		Sink:     []Sink{},
		API:      API{Config: listener(""), MaxFileSize: 100_000_000, Tokens: []APIToken{}},
		Clamd: Clamd{
			Mode:           "0660",
			MaxConnections: 1024,
			Source:         "clamd",
			Priority:       pipeline.Normal,
			Wait:           30 * time.Second,
			Unknown:        "ok",
			MaxStream:      100_000_000,
			Roots:          []string{},
		},
		Mail: Mail{
			Mode:           "0660",
			MaxConnections: 100,
			Source:         "mail",
			Priority:       pipeline.Normal,
			Wait:           30 * time.Second,
			Malicious:      "reject",
			Unknown:        "accept",
			Header:         "X-Backburn",
			MaxMessage:     50_000_000,
			MaxParts:       100,
		},
		Tracing: Tracing{Sample: 1},
		Log:     Log{Level: "info", Format: "auto"},
		origin:  &origin{},
	}
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

// listener gives the limits that a listener has by default.
func listener(listen string) httpserver.Config {
	c := httpserver.DefaultConfig()
	c.Listen = listen

	return c
}

// DefaultAPIToken gives what an [[api.token]] entry means that names nothing.
func DefaultAPIToken() APIToken {
	return APIToken{Source: "api", Priority: pipeline.Normal, Burst: 10}
}

// DefaultProfile gives what an [auth.NAME] table means that names nothing but its kind.
func DefaultProfile(name string, kind auth.Kind) auth.Profile {
	return auth.Profile{Name: name, Kind: kind, Share: kind.DefaultShare()}
}

// Auth is one profile of credentials. Package auth owns its keys, defaults and rules.
type Auth = auth.Profile

// Profile returns the profile of a name; its kind is empty where there is none.
func (c Config) Profile(name string) auth.Profile {
	p := c.Auth[name]
	p.Name = name

	return p
}

// Check is the rules that concern more than one owner.
func (c Config) Check(bad func(key, expected string, beside ...string)) {
	want := wants(bad)
	want(c.Results.MaxAge >= c.Pipeline.Deadline, "results.max_age",
		"at least verdicts.deadline, because what was done is remembered as long as events", "verdicts.deadline")

	_, known := c.Auth[c.WildFire.Auth]
	names := slices.Sorted(maps.Keys(c.Auth))
	want(known, "wildfire.auth", `the name of an [auth.*] profile ("`+strings.Join(names, `", "`)+`")`)

	for i, w := range c.Watch {
		for j, other := range c.Watch[:i] {
			want(w.Source == "" || w.Source != other.Source, join(element("watch", i), "source"),
				fmt.Sprintf("another source than that of watch[%d]", j), join(element("watch", j), "source"))
		}
	}
	for i, s := range c.Sink {
		for j, other := range c.Sink[:i] {
			want(s.Name == "" || s.Name != other.Name, join(element("sink", i), "name"),
				fmt.Sprintf("another name than that of sink[%d]", j), join(element("sink", j), "name"))
		}
	}
}
