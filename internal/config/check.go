package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"backburn/auth"
	"backburn/internal/httpserver"
	"backburn/internal/local"
	"backburn/internal/sink/credential"
	"backburn/pipeline/watch"
)

// Part is a part of the system that a process runs; they combine with |.
type Part int

// The parts, and all of them together.
const (
	ServerPart  Part = 1 << iota // the embedded NATS server
	WatcherPart                  // the folders
	WorkerPart                   // WildFire, the roots of sources, and the files of the profile for WildFire
	ProfilePart                  // that profile itself, which must be complete
	APIPart                      // the HTTP API, where one is configured
	SinkPart                     // the sinks of events
	ClamdPart                    // the protocol of clamd, where it is configured
	MailPart                     // the filter for mail, where one is configured
	Alone                        // that these parts are configured, which are all that the process is for
	Everything  = ServerPart | WatcherPart | WorkerPart | ProfilePart | APIPart | SinkPart | ClamdPart | MailPart
)

// Processes is which parts each process runs.
var Processes = map[string]Part{
	"run":     Everything,
	"watcher": WatcherPart,
	"worker":  WorkerPart | ProfilePart,
	"api":     APIPart | Alone,
	"sink":    SinkPart | Alone,
	"clamd":   ClamdPart | Alone,
	"mail":    MailPart | Alone,
}

// Validate finds everything that is wrong with the configuration for a process that runs the
// parts: what could not be decoded, the rules of every owner, and the files and folders that
// the parts need. A start asks it before it touches anything, and so does every check, so the
// two cannot differ. It changes nothing. The error, where there is one, is of type Problems.
//
// Of files and folders it asks that they are there, of the right sort, readable (and writable
// where that is needed), that nobody else can read what must stay secret, and that nothing of
// Backburn's own is in a watched folder. Without parts it looks at no files.
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

// configured wants the parts to be there.
func (p *collector) configured(c Config, parts Part) {
	for _, part := range []struct {
		is             Part
		on             bool
		key, otherwise string
	}{
		{APIPart, c.API.Listen != "", "api.listen", `expected an address such as "127.0.0.1:9465": without one there is no HTTP API`},
		{SinkPart, len(c.Sink) > 0, "sink", "there is none: name one in [[sink]]"},
		{ClamdPart, c.Clamd.Listen != "", "clamd.listen", `expected an address such as "unix:/run/backburn/clamd.sock": without one nobody can ask`},
		{MailPart, c.Mail.Listen != "", "mail.listen", `expected an address such as "unix:/run/backburn/mail.sock": without one no mail comes`},
	} {
		if parts&part.is != 0 && !part.on && !p.failed(part.key) {
			p.add(part.key, "%s", part.otherwise)
		}
	}
}

// CheckProfile says what is wrong with a profile or missing in it, as Problems.
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

func (c Config) profileNames() []string { return slices.Sorted(maps.Keys(c.Auth)) }

// files looks at what the parts need.
func (p *collector) files(c Config, parts Part) {
	p.private("nats.credentials_file", c.NATS.CredentialsFile)
	p.secret("nats.nkey_file", c.NATS.NKeyFile)
	p.secret("nats.password_file", c.NATS.PasswordFile)
	p.secret("nats.token_file", c.NATS.TokenFile)
	p.authorities("nats.tls.ca_file", c.NATS.TLS.CAFile)
	p.certificate("nats.tls", c.NATS.TLS.CertFile, c.NATS.TLS.KeyFile)
	if c.HTTP.Listen != "" {
		p.webConfig("http.web_config_file", c.HTTP.WebConfigFile)
	}
	if parts&ServerPart != 0 && c.NATS.Embedded.Enabled {
		if _, _, err := c.NATS.Loopback(); err != nil {
			p.expected("nats.url", err.Error(), "nats.embedded.enabled")
		}
		p.creatable("nats.embedded.store_dir", c.NATS.Embedded.StoreDir)
	}
	if parts&WatcherPart != 0 {
		p.watches(c, parts)
	}
	if parts&(WatcherPart|WorkerPart) != 0 { // a worker reads these folders, too
		p.watchesApart(c)
	}
	if parts&WorkerPart != 0 {
		p.authorities("wildfire.ca_file", c.WildFire.Client.Network.CAFile)
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

// look asks about a file unless its key has a problem already, or none is named.
func (p *collector) look(key, file string, judge func(string) error) {
	if file == "" || p.failed(key) {
		return
	}
	if err := judge(file); err != nil {
		p.add(key, "%s", err)
	}
}

// authorities wants PEM certificates.
func (p *collector) authorities(key, file string) {
	p.look(key, file, func(name string) error {
		pem, err := readRegular(name)
		if err != nil {
			return err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return fmt.Errorf("expected PEM certificates, %s holds none", quote(name))
		}
		return nil
	})
}

// certificate wants a certificate and its key, which others cannot read.
func (p *collector) certificate(table, certFile, keyFile string) {
	cert, key := join(table, "cert_file"), join(table, "key_file")
	p.look(cert, certFile, func(name string) error {
		_, err := readRegular(name)
		return err
	})
	p.private(key, keyFile)
	if certFile == "" || keyFile == "" || p.failed(cert) || p.failed(key) {
		return
	}
	if _, err := tls.LoadX509KeyPair(certFile, keyFile); err != nil {
		p.add(cert, "expected a certificate and its key: %s", plain(err))
	}
}

// maxPEM is the longest PEM file that is read, in bytes.
const maxPEM = 4 << 20

// readRegular reads a regular file.
func readRegular(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, errors.New(plain(err))
	}
	if !info.Mode().IsRegular() || info.Size() > maxPEM {
		return nil, fmt.Errorf("expected a file of at most %s, %s is none", Size(maxPEM), quote(name))
	}
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, errors.New(plain(err))
	}

	return content, nil
}

// private wants a file that others cannot read.
func (p *collector) private(key, file string) {
	p.look(key, file, auth.CheckSecretFile)
}

// secret wants, besides, that there is a secret in it: one line.
func (p *collector) secret(key, file string) {
	p.look(key, file, func(name string) error {
		_, err := auth.ReadSecretFile(name)
		return err
	})
}

// minToken is the shortest token of the HTTP API, in characters: one that cannot be guessed.
const minToken = 16

// apiTokens wants secrets that cannot be guessed, and tells whom each request is of.
func (p *collector) apiTokens(a API) {
	holders := map[string]int{}
	for i, t := range a.Tokens {
		at := join(element("api.token", i), "file")
		p.look(at, t.File, func(name string) error {
			secret, err := auth.ReadSecretFile(name)
			if err != nil {
				return err
			}
			if n := utf8.RuneCountInString(secret.Reveal()); n < minToken {
				return fmt.Errorf("%s holds a token of %d characters; at least %d, such as of: openssl rand -hex 32", quote(name), n, minToken)
			}
			if other, ok := holders[secret.Reveal()]; ok {
				return fmt.Errorf("%s holds the same token as that of api.token[%d]", quote(name), other)
			}
			holders[secret.Reveal()] = i
			return nil
		})
	}
}

// webConfig wants a web configuration file that can be used, and a key that others cannot read.
func (p *collector) webConfig(key, file string) (w httpserver.Web) {
	p.look(key, file, func(name string) (err error) {
		if w, err = httpserver.Inspect(name); err != nil {
			return err
		}
		if w.HoldsKey {
			return auth.CheckSecretFile(name)
		}
		if w.KeyFile != "" {
			return auth.CheckSecretFile(w.KeyFile)
		}
		return nil
	})

	return w
}

// apiListener wants TLS where tokens leave this machine, and no second way of authentication.
func (p *collector) apiListener(a API) {
	const key = "api.web_config_file"
	w := p.webConfig(key, a.WebConfigFile)
	switch {
	case p.failed(key):
	case w.BasicAuth:
		p.add(key, "%s has basic_auth_users, which would take the place of tokens in Authorization; remove them", quote(a.WebConfigFile))
	case !a.Local() && !w.TLS:
		p.add(key, "%s has no tls_server_config, and tokens would travel in the clear", quote(a.WebConfigFile))
	}
}

func (p *collector) sink(at string, s Sink) {
	if s.Kind == SinkFile {
		p.creatable(join(at, "path"), filepath.Dir(s.Path))
		return
	}
	p.look(join(at, "secret_file"), s.SecretFile, func(name string) error {
		_, err := credential.ReadKeys(name)
		return err
	})
	p.look(join(at, "bearer_file"), s.BearerFile, func(name string) error {
		_, err := credential.ReadBearer(name)
		return err
	})
	p.look(join(at, "headers_file"), s.HeadersFile, func(name string) error {
		_, err := credential.ReadHeaders(name)
		return err
	})
	p.authorities(join(at, "ca_file"), s.CAFile)
	p.certificate(at, s.CertFile, s.KeyFile)
	if s.DeadFile != "" {
		p.creatable(join(at, "dead_file"), filepath.Dir(s.DeadFile))
	}
}

// access is what a process must be able to do with a folder.
type access int

const (
	read access = iota
	write
)

func (p *collector) folder(key, dir string, want access) {
	if dir == "" || p.failed(key) {
		return
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.add(key, "there is no folder %s; create it", quote(dir))
	case err != nil:
		p.add(key, "%s", plain(err))
	case !info.IsDir():
		p.add(key, "expected a folder, %s is none", quote(dir))
	default:
		if err := accessible(dir, want); err != nil {
			p.add(key, "%s: %s", quote(dir), err)
		}
	}
}

// creatable wants a folder that can be written to, or made.
func (p *collector) creatable(key, dir string) {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		_, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
			continue
		}
		p.folder(key, at, write)
		return
	}
}

// socket wants the folder of a unix socket, where one is named.
func (p *collector) socket(key, address string) {
	if path, ok := local.SocketPath(address); ok {
		p.folder(key, filepath.Dir(path), write)
	}
}

func (p *collector) watches(c Config, parts Part) {
	// Without a file there is one folder, which is made by the process that runs everything.
	made := c.origin.file == "" && parts&ServerPart != 0
	for i, w := range c.Watch {
		at := element("watch", i)
		want := write
		if w.Claim == watch.ClaimKeep {
			want = read
			p.creatable(join(at, "state_dir"), w.State())
		}
		if made {
			p.creatable(join(at, "path"), w.Path)
		} else {
			p.folder(join(at, "path"), w.Path, want)
		}
		for _, after := range []struct{ outcome, what string }{
			{"benign", w.After.Benign}, {"malicious", w.After.Malicious}, {"failed", w.After.Failed},
		} {
			if strings.ContainsAny(after.what, `/`+string(filepath.Separator)) {
				p.creatable(join(join(at, "after"), after.outcome), after.what)
			}
		}
	}
}

func (p *collector) credentials(at string, a auth.Profile) {
	p.secret(join(at, "client_secret_file"), a.ClientSecretFile)
	p.secret(join(at, "api_key_file"), a.APIKeyFile)
	p.secret(join(at, "cache_key_file"), a.CacheKeyFile)
	if a.GrantFile != "" {
		p.creatable(join(at, "grant_file"), filepath.Dir(a.GrantFile))
	}
}

// plain says what is wrong with a file without the name of the system call.
func plain(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Sprintf("%s: %s", quote(pe.Path), pe.Err)
	}
	return err.Error()
}

// Problem makes an error of something that only showed when the configuration was put to
// use, with the place of its key in the file.
func (c Config) Problem(key, format string, args ...any) error {
	p := c.collect()
	p.problems = nil
	p.add(key, format, args...)

	return p.problems
}
