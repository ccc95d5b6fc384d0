package natsconn

import (
	"cmp"
	"errors"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"backburn/internal/loopback"
	"backburn/pipeline"
)

// Config configures the connection to the NATS server or cluster.
type Config struct {
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

// TLS names the PEM files of a TLS connection. An empty CAFile means the authorities that the
// system trusts; without CertFile and KeyFile the client has no certificate.
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

// DefaultConfig returns the defaults: the embedded server, on this machine.
func DefaultConfig() Config {
	return Config{
		URL:      "nats://127.0.0.1:4222",
		Prefix:   "backburn",
		Replicas: 1,
		Embedded: Embedded{Enabled: true, StoreDir: "data/nats", SyncAlways: true},
	}
}

// URLs splits the list of servers.
func (c Config) URLs() []string {
	var urls []string
	for u := range strings.SplitSeq(c.URL, ",") {
		urls = append(urls, strings.TrimSpace(u))
	}

	return urls
}

// EmbeddedAddress returns the address at which the embedded server listens. Port 0 means any free
// port.
func (c Config) EmbeddedAddress() (host string, port int, err error) {
	urls := c.URLs()
	u, err := url.Parse(urls[0])
	if err != nil || len(urls) != 1 || u.Scheme != "nats" || !loopback.Host(u.Hostname()) {
		return "", 0, errors.New(`a single loopback address, such as "nats://127.0.0.1:4222", for the embedded ` +
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

// TokenFile returns the file with the token that clients of the embedded server need, mode 0600. It
// is next to the store, so a backup of the store does not contain it.
func (e Embedded) TokenFile() string {
	return strings.TrimRight(filepath.Clean(e.StoreDir), string(filepath.Separator)) + ".token"
}

// Check calls bad for each key with an invalid value.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	for _, s := range c.URLs() {
		u, err := url.Parse(s)
		want(err == nil && slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) && u.Hostname() != "",
			"url", `servers such as "nats://127.0.0.1:4222", separated by commas`)
		want(err != nil || u.User == nil, "url",
			"no user or password in the address; use nats.user and nats.password_file")
	}

	want(pipeline.ValidSource(c.Prefix), "prefix", pipeline.SourceRule)
	want(slices.Contains([]int{1, 3, 5}, c.Replicas), "replicas", "1, 3 or 5")
	want(c.Replicas <= 1 || !c.Embedded.Enabled, "replicas",
		"1, because the embedded server is alone; a cluster needs nats.embedded.enabled = false", "embedded.enabled")
	c.checkCredentials(want)
	want(c.Domain == "" || domainName.MatchString(c.Domain), "domain", "1 to 64 of A-Z, a-z, 0-9, _ and -")
	want(c.Domain == "" || !c.Embedded.Enabled, "domain",
		"none, because the embedded server has no domain; another server needs nats.embedded.enabled = false", "embedded.enabled")
	want(c.TLS.CertFile == "" || c.TLS.KeyFile != "", "tls.key_file", "a file with the key of nats.tls.cert_file", "tls.cert_file")
	want(c.TLS.KeyFile == "" || c.TLS.CertFile != "", "tls.cert_file", "a file with the certificate of nats.tls.key_file", "tls.key_file")
	want(!c.Embedded.Enabled || c.Embedded.StoreDir != "", "embedded.store_dir", "a folder")
}

// domainName matches valid JetStream domains, which are one token of a subject.
var domainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// checkCredentials allows one authentication method, which must be complete.
func (c Config) checkCredentials(want func(ok bool, key, expected string, related ...string)) {
	first := ""
	for _, way := range []struct{ key, value string }{
		{"credentials_file", c.CredentialsFile},
		{"nkey_file", c.NKeyFile},
		{"user", c.User},
		{"token_file", c.TokenFile},
	} {
		if way.value == "" {
			continue
		}

		want(first == "", way.key, "either this or nats."+first, first)
		first = cmp.Or(first, way.key)
	}

	want(c.User == "" || c.PasswordFile != "", "password_file", "a file with the password of nats.user", "user")
	want(c.PasswordFile == "" || c.User != "", "user", "the user of nats.password_file", "password_file")
}

// JetStreamRemedy returns what to do if the server is connected, and JetStream does not answer.
func (c Config) JetStreamRemedy() string {
	if c.Domain != "" {
		return "check that nats.domain names the JetStream domain of the streams, and that the leaf node is connected to that server"
	}

	return "start the server with JetStream (-js), or enable JetStream for this account; behind a leaf node, set nats.domain"
}
