package config

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"backburn/auth"
	"backburn/internal/api"
	"backburn/internal/httpserver"
	"backburn/internal/local"
	"backburn/internal/sink"
	"backburn/internal/sink/credential"
	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// checkFile checks a file, unless its name is empty or its key already has a problem.
func (p *collector) checkFile(key, file string, check func(string) error) {
	if file == "" || p.failed(key) {
		return
	}
	if err := check(file); err != nil {
		p.add(key, "%s", err)
	}
}

// authorities requires a file with PEM certificates.
func (p *collector) authorities(key, file string) {
	p.checkFile(key, file, func(name string) error {
		pem, err := readRegular(name, maxPEM)
		if err != nil {
			return err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(pem) {
			return fmt.Errorf("expected PEM certificates; %s has none", quote(name))
		}

		return nil
	})
}

// certificate requires a certificate and its key, which other users cannot read.
func (p *collector) certificate(table, certFile, keyFile string) {
	cert, key := join(table, "cert_file"), join(table, "key_file")
	p.checkFile(cert, certFile, readable(func(name string) ([]byte, error) { return readRegular(name, maxPEM) }))
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

// readRegular reads a regular file of at most limit bytes.
func readRegular(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, errors.New(plain(err))
	}
	if !info.Mode().IsRegular() || info.Size() > limit {
		return nil, fmt.Errorf("expected a file of at most %s; %s is a folder, a device or larger", Size(limit), quote(name))
	}

	content, err := os.ReadFile(name)
	if err != nil {
		return nil, errors.New(plain(err))
	}

	return content, nil
}

// private requires a file that other users cannot read.
func (p *collector) private(key, file string) {
	p.checkFile(key, file, auth.CheckSecretFile)
}

// secret requires a private file with a secret: one line.
func (p *collector) secret(key, file string) {
	p.checkFile(key, file, readable(auth.ReadSecretFile))
}

// readable returns a check that a file can be read.
func readable[T any](read func(name string) (T, error)) func(string) error {
	return func(name string) error {
		_, err := read(name)
		return err
	}
}

// apiTokens requires tokens that cannot be guessed and that differ, so that a token identifies its
// client.
func (p *collector) apiTokens(a api.Config) {
	holders := map[string]int{}
	for i, t := range a.Tokens {
		at := join(element("api.token", i), "file")
		p.checkFile(at, t.File, func(name string) error {
			secret, err := t.Read()
			if err != nil {
				return err
			}
			if other, ok := holders[secret.Reveal()]; ok {
				return fmt.Errorf("%s holds the same token as that of api.token[%d]", quote(name), other)
			}

			holders[secret.Reveal()] = i

			return nil
		})
	}
}

// webConfig requires a valid web configuration file, and a key that other users cannot read.
func (p *collector) webConfig(key, file string) (w httpserver.Web) {
	p.checkFile(key, file, func(name string) (err error) {
		if w, err = httpserver.Inspect(name); err != nil {
			return err
		}
		if w.ContainsKey {
			return auth.CheckSecretFile(name)
		}
		if w.KeyFile != "" {
			return auth.CheckSecretFile(w.KeyFile)
		}

		return nil
	})

	return w
}

// apiListener requires TLS if clients may be on other machines, and rejects a second way of
// authentication.
func (p *collector) apiListener(a api.Config) {
	const key = "api.web_config_file"
	w := p.webConfig(key, a.WebConfigFile)
	switch {
	case p.failed(key), p.failed("api.listen"):
	case w.BasicAuth:
		p.add(key, "%s has basic_auth_users, which would take the place of tokens in Authorization; remove them", quote(a.WebConfigFile))
	case !a.Local() && !w.TLS:
		p.add(key, "%s has no tls_server_config, so tokens would be sent unencrypted", quote(a.WebConfigFile))
	}
}

func (p *collector) sink(at string, s sink.Config) {
	if s.Kind == sink.KindFile {
		p.creatable(join(at, "path"), filepath.Dir(s.Path))
		p.checkFile(join(at, "path"), s.Path, sink.Appendable)
		return
	}

	p.checkFile(join(at, "secret_file"), s.SecretFile, readable(credential.ReadKeys))
	p.checkFile(join(at, "bearer_file"), s.BearerFile, readable(credential.ReadBearer))
	p.checkFile(join(at, "headers_file"), s.HeadersFile, readable(credential.ReadHeaders))
	p.authorities(join(at, "ca_file"), s.CAFile)
	p.certificate(at, s.CertFile, s.KeyFile)
	if s.DeadFile != "" {
		p.creatable(join(at, "dead_file"), filepath.Dir(s.DeadFile))
		p.checkFile(join(at, "dead_file"), s.DeadFile, sink.Appendable)
	}
}

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
		p.add(key, "expected a folder; %s is not one", quote(dir))
	default:
		if err := accessible(dir, want); err != nil {
			p.add(key, "%s: %s", quote(dir), err)
		}
	}
}

// creatable requires a folder that can be written to or created.
func (p *collector) creatable(key, dir string) {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		_, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
			if _, err := os.Lstat(at); err == nil && !p.failed(key) {
				p.add(key, "%s is a link to a folder that does not exist", quote(at))
				return
			}

			continue
		}
		p.folder(key, at, write)

		return
	}
}

// socket requires a writable folder for a Unix socket, if the address is one.
func (p *collector) socket(key, address string) {
	if path, ok := local.SocketPath(address); ok {
		p.folder(key, filepath.Dir(path), write)
	}
}

// isFile reports whether there is something at a path that is neither a folder nor a link.
func isFile(path string) bool {
	info, err := os.Lstat(path)

	return err == nil && !info.IsDir() && info.Mode()&fs.ModeSymlink == 0
}

// watches requires that the watched folders exist, unless the process creates them.
func (p *collector) watches(c Config, willCreate bool) {
	for i, w := range c.Watch {
		at := element("watch", i)
		want := write
		if w.Claim == watch.ClaimKeep {
			want = read
			p.creatable(join(at, "state_dir"), w.LedgerDir())
		} else if spool := filepath.Join(w.Path, pipeline.SpoolDir); isFile(spool) {
			p.add(join(at, "path"), "its %s is not a folder; remove it", pipeline.SpoolDir)
		}

		if willCreate {
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

// plain returns the text of an error about a file, without the name of the system call.
func plain(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Sprintf("%s: %s", quote(pe.Path), pe.Err)
	}
	return err.Error()
}
