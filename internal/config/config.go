package config

import (
	"path/filepath"
	"strings"

	"backburn/auth"
	"backburn/pipeline"
)

// Config is the whole configuration. It is a value: copy it freely, but do not write to
// the maps and slices that copies share.
type Config struct {
	NATS     NATS            `toml:"nats"`
	Watch    []Watch         `toml:"watch"`
	WildFire WildFire        `toml:"wildfire"`
	Worker   Worker          `toml:"worker"`
	Verdicts Verdicts        `toml:"verdicts"`
	Results  Results         `toml:"results"`
	Auth     map[string]Auth `toml:"auth"` // by the name of the profile
	HTTP     HTTP            `toml:"http"`
	API      API             `toml:"api"`
	Sink     []Sink          `toml:"sink"`
	Tracing  Tracing         `toml:"tracing"`
	Log      Log             `toml:"log"`

	origin origin
}

// origin remembers where a configuration came from, for problems that are found later.
type origin struct {
	file   string
	places places
}

// NATS says how to reach the server, or the cluster, through which everything goes.
type NATS struct {
	URL             string   `toml:"url"`                         // comma-separated for a cluster
	CredentialsFile string   `toml:"credentials_file" own:"true"` // a NATS .creds file
	NKeyFile        string   `toml:"nkey_file" own:"true"`        // or a file with the seed of an NKey
	User            string   `toml:"user"`                        // or a user, with a password
	PasswordFile    string   `toml:"password_file" own:"true"`    // a file with the user's password
	TokenFile       string   `toml:"token_file" own:"true"`       // or a file with a token
	Domain          string   `toml:"domain"`                      // the JetStream domain, where the server is a leaf node of its hub
	Prefix          string   `toml:"prefix"`                      // first token of every subject; streams and buckets are named after it
	Replicas        int      `toml:"replicas"`                    // of streams and buckets: 1, or 3 or 5 on a cluster
	TLS             TLS      `toml:"tls"`
	Embedded        Embedded `toml:"embedded"`
}

// URLs splits the list of servers.
func (n NATS) URLs() []string {
	var urls []string
	for u := range strings.SplitSeq(n.URL, ",") {
		urls = append(urls, strings.TrimSpace(u))
	}
	return urls
}

// TLS names the PEM files of a TLS connection. An empty CAFile means the authorities
// that the system trusts; without CertFile and KeyFile the client shows no certificate.
type TLS struct {
	CAFile   string `toml:"ca_file" own:"true"`
	CertFile string `toml:"cert_file" own:"true"`
	KeyFile  string `toml:"key_file" own:"true"`
}

// Embedded is the NATS server that `backburn run` starts in its own process.
type Embedded struct {
	Enabled    bool   `toml:"enabled"`
	StoreDir   string `toml:"store_dir" own:"true"`
	SyncAlways bool   `toml:"sync_always"` // an acknowledged message is on the disk, not in a buffer
}

// TokenFile is where the embedded server keeps the token that clients must show, mode
// 0600. It stands beside the store, so that a backup of the store does not contain it.
func (e Embedded) TokenFile() string {
	return strings.TrimRight(filepath.Clean(e.StoreDir), string(filepath.Separator)) + ".token"
}

// Watch is one quarantine folder.
type Watch struct {
	Path        string            `toml:"path"`
	Source      string            `toml:"source"` // name in subjects and events, [a-z0-9_-]{1,32}
	Recursive   bool              `toml:"recursive"`
	Claim       string            `toml:"claim" oneof:"move keep"`
	StateDir    string            `toml:"state_dir" own:"true"` // of the ledger; see State
	Watch       string            `toml:"watch" oneof:"auto events poll"`
	Settle      Duration          `toml:"settle"`
	Scan        Duration          `toml:"scan"`
	Exclude     []string          `toml:"exclude"` // globs, never taken
	Defer       []string          `toml:"defer"`   // globs, taken only after StaleAfter
	StaleAfter  Duration          `toml:"stale_after"`
	DoneFile    string            `toml:"done_file"` // "{name}.done": taken only once that file is there; "" for none
	Sidecar     bool              `toml:"sidecar"`   // write the final event as JSON beside the file
	Hardlinks   string            `toml:"hardlinks" oneof:"copy take reject"`
	MaxFileSize Size              `toml:"max_file_size"`
	MinFree     Size              `toml:"min_free"` // nothing is claimed while the disk has less room; 0 disables
	Priority    pipeline.Priority `toml:"priority" oneof:"urgent normal bulk"`
	Transfer    string            `toml:"transfer" oneof:"path object"`
	MaxInFlight int               `toml:"max_in_flight"` // claimed and not yet finished
	After       After             `toml:"after"`
}

// The values of Watch.Claim.
const (
	ClaimMove = "move" // into <path>/.backburn by an atomic rename
	ClaimKeep = "keep" // left in place and remembered in a ledger
)

// The values of Watch.Transfer.
const (
	TransferPath   = "path"   // workers read the same file system
	TransferObject = "object" // contents travel through JetStream
)

// State is the folder of the ledger, in which files that stay where they are (claim
// "keep") or come back (after "restore") are remembered: StateDir or, where that is
// empty, .backburn below the folder. Name another place for a folder that Backburn may
// not write to.
func (w Watch) State() string {
	if w.StateDir != "" {
		return w.StateDir
	}
	return filepath.Join(w.Path, pipeline.SpoolDir)
}

// After says what becomes of a claimed file at its final event: "keep" (in .backburn/done),
// "delete", "restore" (back where it was found), or the name of a folder to move it to,
// which contains a slash so that it cannot be mistaken for a misspelt word.
type After struct {
	Benign    string `toml:"benign" own:"true"`
	Malicious string `toml:"malicious" own:"true"` // malware, grayware, phishing, c2
	Failed    string `toml:"failed" own:"true"`
}

// The words of After.
const (
	AfterKeep    = "keep"
	AfterDelete  = "delete"
	AfterRestore = "restore"
)

// WildFire says how to reach WildFire and how much of it may be used.
type WildFire struct {
	URL            string   `toml:"url"`
	Auth           string   `toml:"auth"` // the name of a profile in Config.Auth
	Agent          string   `toml:"agent"`
	CAFile         string   `toml:"ca_file" own:"true"`
	AskFirst       bool     `toml:"ask_first"`       // look a hash up before uploading it
	UploadsPerDay  int      `toml:"uploads_per_day"` // 0: no limit but the service's 419
	QueriesPerDay  int      `toml:"queries_per_day"` // likewise
	ReservePercent int      `toml:"reserve_percent"` // of both, kept for urgent jobs
	StallTimeout   Duration `toml:"stall_timeout"`   // no byte moved for so long ends an upload
}

// Worker says how a worker uploads.
type Worker struct {
	Concurrency     int               `toml:"concurrency"`      // uploads at a time in this process
	Rate            float64           `toml:"rate"`             // uploads per second of the whole fleet
	Burst           int               `toml:"burst"`            // of the whole fleet
	MaxAttempts     int               `toml:"max_attempts"`     // tries at the upload, the first included
	RetryMin        Duration          `toml:"retry_min"`        // the back-off doubles from here
	RetryMax        Duration          `toml:"retry_max"`        // up to here, with full jitter
	Lease           Duration          `toml:"lease"`            // a worker that dies gives its work back after so long
	ShutdownTimeout Duration          `toml:"shutdown_timeout"` // for work in hand; 0 hands it back at once
	Roots           map[string]string `toml:"roots"`            // source to the folder where its "path" contents are mounted here
}

// Verdicts says how long and how often WildFire is asked for a verdict.
type Verdicts struct {
	FirstPoll Duration `toml:"first_poll"`
	MaxPoll   Duration `toml:"max_poll"`
	Deadline  Duration `toml:"deadline"` // from the submission; then the job fails with verdict_timeout

	MaliciousAge Duration `toml:"malicious_age"` // so long a verdict answers for the same contents without asking again
	BenignAge    Duration `toml:"benign_age"`    // likewise, for what was found harmless
	Recheck      Duration `toml:"recheck"`       // harmless ones are asked about again after so long; 0: never
}

// Results limits the stream of events. The oldest go first.
type Results struct {
	MaxAge   Duration `toml:"max_age"`
	MaxBytes Size     `toml:"max_bytes"`
}

// HTTP is the listener for health, metrics and status.
type HTTP struct {
	Listen string `toml:"listen"` // host:port; "" for none
	Pprof  bool   `toml:"pprof"`  // serve /debug/pprof/ there too
}

// API is the HTTP API for gateways that do not speak NATS.
type API struct {
	Listen      string            `toml:"listen"`                // host:port; "" for none
	TokenFile   string            `toml:"token_file" own:"true"` // with the bearer token that clients show
	CertFile    string            `toml:"cert_file" own:"true"`  // PEM; with KeyFile it speaks TLS
	KeyFile     string            `toml:"key_file" own:"true"`
	Source      string            `toml:"source"` // for which it speaks
	Priority    pipeline.Priority `toml:"priority" oneof:"urgent normal bulk"`
	MaxFileSize Size              `toml:"max_file_size"`
}

// Sink hands events on to what does not read NATS.
type Sink struct {
	Name        string   `toml:"name"` // part of its durable consumer, [a-z0-9_-]{1,32}
	Kind        string   `toml:"kind" oneof:"webhook file"`
	Types       []string `toml:"types"`                  // submitted, verdict, failed, changed; none: all
	Outcomes    []string `toml:"outcomes"`               // verdicts and reasons; none: all
	Sources     []string `toml:"sources"`                // none: all
	URL         string   `toml:"url"`                    // webhook: where events are posted
	SecretFile  string   `toml:"secret_file" own:"true"` // webhook: the key of its signature
	DeadFile    string   `toml:"dead_file" own:"true"`   // webhook: what was not taken, as JSON lines
	Timeout     Duration `toml:"timeout"`                // webhook: of one try
	MaxAttempts int      `toml:"max_attempts"`           // webhook: of one event
	Path        string   `toml:"path" own:"true"`        // file
	MaxSize     Size     `toml:"max_size"`               // file: then it is put aside under its time
	MaxBackups  int      `toml:"max_backups"`            // file: kept beside the current one; 0: all
}

// The values of Sink.Kind.
const (
	SinkWebhook = "webhook"
	SinkFile    = "file"
)

// Tracing says where spans go.
type Tracing struct {
	Endpoint string  `toml:"endpoint"` // of an OpenTelemetry collector that speaks OTLP/HTTP; "" for none
	Sample   float64 `toml:"sample"`   // part of the traces that begin here, 0 to 1
}

// Log says what is logged, and in which shape. Logs go to standard error.
type Log struct {
	Level  string `toml:"level" oneof:"trace debug info warn error"`
	Format string `toml:"format" oneof:"auto console json"` // auto: console on a terminal, JSON elsewhere
}

// Auth is one profile of credentials. Package auth owns its keys, defaults and rules; the
// profile's name is that of its table.
type Auth = auth.Profile

// Profile returns the profile with a name; its kind is empty where there is none.
func (c Config) Profile(name string) Auth {
	p := c.Auth[name]
	p.Name = name
	return p
}
