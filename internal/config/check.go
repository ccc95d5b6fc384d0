package config

import (
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"

	"backburn/internal/natsconn"
	"backburn/internal/proxy"
)

// Part is a part of the system that a process runs. Parts are combined with |.
type Part int

// The parts, and all of them together.
const (
	ServerPart  Part = 1 << iota // the embedded NATS server
	WatcherPart                  // the folders
	WorkerPart                   // WildFire, the roots of sources, and the files of the profile for WildFire
	ProfilePart                  // the profile for WildFire, which must be complete
	APIPart                      // the HTTP API, if configured
	SinkPart                     // the sinks of events
	ClamdPart                    // the clamd protocol, if configured
	MailPart                     // the mail filter, if configured
	Alone                        // the process runs only these parts, so they must be configured
	Everything  = ServerPart | WatcherPart | WorkerPart | ProfilePart | APIPart | SinkPart | ClamdPart | MailPart
)

// Processes has the parts that each process runs.
var Processes = map[string]Part{
	"run":     Everything,
	"watcher": WatcherPart,
	"worker":  WorkerPart | ProfilePart,
	"api":     APIPart | Alone,
	"sink":    SinkPart | Alone,
	"clamd":   ClamdPart | Alone,
	"mail":    MailPart | Alone,
}

// Validate finds all errors in the configuration for a process that runs the parts: values that
// could not be decoded, the rules of every owner, and the files and folders that the parts need.
// Both a start and a check call it first, so they cannot differ. It changes nothing. An error has
// the type Problems.
//
// Files and folders must exist, have the right type, and be readable (and writable if necessary).
// Other users must not be able to read secrets, and no watched folder may contain Backburn's own
// files. Without parts it checks no files.
func (c Config) Validate(parts Part) error {
	p := c.collect()
	p.needsProfile = parts&ProfilePart != 0 && !c.Simulated() // the simulator brings its own
	c.rules(p)
	if parts&Alone != 0 {
		p.configured(c, parts)
	}
	if parts != 0 {
		p.files(c, parts)
	}

	return p.problems.err()
}

// configured adds a problem for each of the parts that is not configured.
func (p *collector) configured(c Config, parts Part) {
	for _, rule := range []struct {
		part         Part
		isConfigured bool
		key, problem string
	}{
		{APIPart, c.API.Listen != "", "api.listen", `expected an address such as "127.0.0.1:9465": without one there is no HTTP API`},
		{SinkPart, len(c.Sink) > 0, "sink", "expected at least one [[sink]] entry"},
		{ClamdPart, c.Clamd.Listen != "", "clamd.listen", `expected an address such as "unix:/run/backburn/clamd.sock": without one there is no clamd server`},
		{MailPart, c.Mail.Listen != "", "mail.listen", `expected an address such as "unix:/run/backburn/mail.sock": without one there is no milter`},
	} {
		if parts&rule.part != 0 && !rule.isConfigured && !p.failed(rule.key) {
			p.add(rule.key, "%s", rule.problem)
		}
	}
}

// CheckProfile returns the errors in a profile, including missing keys, as Problems.
func (c Config) CheckProfile(name string) error {
	p := c.collect()
	p.problems = nil
	if _, ok := c.Auth[name]; !ok {
		p.add("auth", "there is no profile %s", quote(name))
		return p.problems.err()
	}
	p.profile(join("auth", name), c.Profile(name), true)

	return p.problems.err()
}

// files checks the files and folders that the parts need.
func (p *collector) files(c Config, parts Part) {
	p.private("nats.credentials_file", c.NATS.CredentialsFile)
	p.secret("nats.nkey_file", c.NATS.NKeyFile)
	p.secret("nats.password_file", c.NATS.PasswordFile)
	p.secret("nats.token_file", c.NATS.TokenFile)
	p.authorities("nats.tls.ca_file", c.NATS.TLS.CAFile)
	p.certificate("nats.tls", c.NATS.TLS.CertFile, c.NATS.TLS.KeyFile)
	for _, pair := range clashes(c.listeners(parts)) {
		if key, other := pair[0].key, pair[1]; !p.failed(key) && !p.failed(other.key) {
			p.addBeside(key, other.key, "expected another address than that of %s, %s", other.key, quote(other.address))
		}
	}
	if c.HTTP.Listen != "" {
		p.webConfig("http.web_config_file", c.HTTP.WebConfigFile)
	}

	if parts&ServerPart != 0 && c.NATS.Embedded.Enabled {
		if _, _, err := c.NATS.EmbeddedAddress(); err != nil {
			p.expected("nats.url", err.Error(), "nats.embedded.enabled")
		}

		p.creatable("nats.embedded.store_dir", c.NATS.Embedded.StoreDir)
		for _, key := range foreignCredentials(c.NATS) {
			if !p.failed(key) {
				p.add(key, "the embedded server accepts only its own token, without TLS: remove this key, or set nats.embedded.enabled = false")
			}
		}
	}

	if parts&WatcherPart != 0 {
		// Without a configuration file there is one folder, which `backburn run` creates.
		p.watches(c, c.origin.file == "" && parts&ServerPart != 0)
	}

	if parts&(WatcherPart|WorkerPart) != 0 { // a worker reads these folders, too
		p.watchesApart(c)
	}

	if parts&WorkerPart != 0 {
		p.authorities("wildfire.ca_file", c.WildFire.Client.Network.CAFile)
		if err := proxy.CheckEnvironment(); err != nil {
			p.add("wildfire.url", "%v", err)
		}
		for _, source := range slices.Sorted(maps.Keys(c.Pipeline.Roots)) {
			p.folder(join("worker.roots", source), c.Pipeline.Roots[source], read)
		}

		p.credentials(join("auth", c.WildFire.Auth), c.Auth[c.WildFire.Auth])
		p.rootsApart(c)
	}

	if parts&SinkPart != 0 {
		for i, s := range c.Sink {
			p.sink(element("sink", i), s)
		}
	}

	if parts&ClamdPart != 0 && c.Clamd.Listen != "" {
		p.socket("clamd.listen", c.Clamd.Listen)
		for i, root := range c.Clamd.Roots {
			p.folder(element("clamd.roots", i), root, read)
			p.rootApart(c, element("clamd.roots", i), root)
		}
	}

	if parts&MailPart != 0 {
		p.socket("mail.listen", c.Mail.Listen)
	}

	if parts&APIPart != 0 && c.API.Listen != "" {
		p.apiTokens(c.API)
		p.apiListener(c.API)
	}
}

// foreignCredentials lists the keys for a connection to another server than the embedded one. The
// process that runs the embedded server ignores them, but all other processes would use them, and
// could not connect.
func foreignCredentials(n natsconn.Config) []string {
	var keys []string
	for _, k := range []struct{ key, value string }{
		{"nats.credentials_file", n.CredentialsFile},
		{"nats.nkey_file", n.NKeyFile},
		{"nats.user", n.User},
		{"nats.tls.ca_file", n.TLS.CAFile},
		{"nats.tls.cert_file", n.TLS.CertFile},
	} {
		if k.value != "" {
			keys = append(keys, k.key)
		}
	}

	own, err := filepath.Abs(n.Embedded.TokenFile())
	file, fileErr := filepath.Abs(n.TokenFile)
	if n.TokenFile != "" && err == nil && fileErr == nil && file != own {
		keys = append(keys, "nats.token_file")
	}

	return keys
}

// listeners lists the addresses on which the parts of a process listen.
func (c Config) listeners(parts Part) []listener {
	var all []listener
	if host, port, err := c.NATS.EmbeddedAddress(); parts&ServerPart != 0 && c.NATS.Embedded.Enabled && err == nil {
		all = append(all, listener{"nats.url", net.JoinHostPort(host, strconv.Itoa(port))})
	}
	all = append(all, listener{"http.listen", c.HTTP.Listen})
	for _, l := range []struct {
		part Part
		listener
	}{
		{APIPart, listener{"api.listen", c.API.Listen}},
		{ClamdPart, listener{"clamd.listen", c.Clamd.Listen}},
		{MailPart, listener{"mail.listen", c.Mail.Listen}},
	} {
		if parts&l.part != 0 {
			all = append(all, l.listener)
		}
	}

	return all
}
