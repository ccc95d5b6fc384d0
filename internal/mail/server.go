package mail

import (
	"net"
	"regexp"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/judge"
	"backburn/internal/local"
	"backburn/pipeline"
)

// Actions for a mail with a malicious attachment.
const (
	MaliciousReject     = "reject"
	MaliciousQuarantine = "quarantine"
	MaliciousHeader     = "header"
)

// Actions for a mail with attachments whose verdicts are still to come.
const (
	UnknownAccept   = "accept"
	UnknownTempfail = "tempfail"
)

// Config configures a Server: the keys of [mail].
type Config struct {
	local.Config `toml:",inline"`

	Source     string            `toml:"source" doc:"Source of the attachments' jobs."`
	Priority   pipeline.Priority `toml:"priority" doc:"\"urgent\", \"normal\" or \"bulk\"."`
	Wait       time.Duration     `toml:"wait" doc:"How long a mail is held for the verdicts on its attachments. Their submission and this wait take at most 4m together, because Postfix gives up after 5m. 0s: the mail passes at once, unless an attachment is known to be malicious."`
	Malicious  string            `toml:"malicious" doc:"What to do with a mail that has a malicious attachment: \"reject\", \"quarantine\" (Postfix holds it) or \"header\" (mark it and let it pass)."`
	Unknown    string            `toml:"unknown" doc:"What to do with a mail if a verdict is still to come after wait: \"accept\" (mark it and let it pass) or \"tempfail\" (the sender tries again)."`
	Header     string            `toml:"header" doc:"Name of the header with the result. Headers of that name in an incoming mail are removed."`
	MaxMessage int64             `toml:"max_message" unit:"bytes" doc:"Largest mail. Larger ones are rejected."`
	MaxParts   int               `toml:"max_parts" doc:"Most attachments of a mail. A mail with more is rejected."`
}

// maxHold is the longest time from the end of a mail to its answer. Postfix waits for five minutes.
const maxHold = 4 * time.Minute

// DefaultConfig returns the defaults, under which nothing listens.
func DefaultConfig() Config {
	return Config{
		Config:     local.Config{Mode: "0660", MaxConnections: 100},
		Source:     "mail",
		Priority:   pipeline.Normal,
		Wait:       30 * time.Second,
		Malicious:  MaliciousReject,
		Unknown:    UnknownAccept,
		Header:     "X-Backburn",
		MaxMessage: 50_000_000,
		MaxParts:   100,
	}
}

// Check calls bad for each key with an invalid value.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	want(pipeline.ValidSource(c.Source), "source", pipeline.SourceRule)
	want(c.Priority.Valid(), "priority", pipeline.PriorityRule)
	want(c.Wait >= 0 && c.Wait <= maxHold, "wait", "0s to 4m")
	want(c.Malicious == MaliciousReject || c.Malicious == MaliciousQuarantine || c.Malicious == MaliciousHeader, "malicious",
		`"reject", "quarantine" or "header"`)
	want(c.Unknown == UnknownAccept || c.Unknown == UnknownTempfail, "unknown", `"accept" or "tempfail"`)
	want(headerName.MatchString(c.Header), "header", "a name of 1 to 64 letters, digits and hyphens")
	want(c.MaxMessage > 0, "max_message", "more than 0")
	want(c.MaxParts >= 1 && c.MaxParts <= 1000, "max_parts", "1 to 1000")
}

// headerName matches the usual names of headers. RFC 5322, 2.2, allows more characters.
var headerName = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)

// Deps has the dependencies of a Server.
type Deps struct {
	Judge    *judge.Judge
	Registry prometheus.Registerer
	Log      zerolog.Logger
}

// Server is an open listener. Run serves it: at the end of its context, mails that wait for
// verdicts are answered immediately, with what is known.
type Server struct {
	*local.Server

	cfg   Config
	deps  Deps
	mails *prometheus.CounterVec
}

// Values of the label "outcome".
const (
	outcomeNone      = "none"      // no attachment
	outcomeClean     = "clean"     // all attachments have verdicts, none malicious
	outcomeMalicious = "malicious" // at least one malicious verdict
	outcomeUnknown   = "unknown"   // some attachments have no verdict
	outcomeRefused   = "refused"   // too large, or too many attachments
	outcomeError     = "error"     // refused temporarily
)

// Time limits for mail servers. A mail server is silent while its own client is.
const (
	readTimeout  = 10 * time.Minute
	writeTimeout = 30 * time.Second
)

// timeoutConn is a connection whose deadlines are extended with each read and write.
type timeoutConn struct {
	net.Conn
	onClose func()
}

func (c *timeoutConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(readTimeout)); err != nil {
		return 0, err
	}

	return c.Conn.Read(b)
}

func (c *timeoutConn) Write(b []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}

	return c.Conn.Write(b)
}

// Close is called once by the library, after its last call of the session.
func (c *timeoutConn) Close() error {
	err := c.Conn.Close()
	c.onClose()

	return err
}
