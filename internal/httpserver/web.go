package httpserver

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// Web is what a web configuration file turns on.
type Web struct {
	TLS            bool
	BasicAuth      bool     // users and passwords
	ClientCerts    bool     // clients must show a certificate that an authority of ours signed
	Files          []string // that it names: certificates and keys
	KeyFile        string   // one of them
	HoldsKey       bool     // the key itself is in the file
	Certificate    string   // file with the server's certificate
	CertificatePEM string   // or the certificate itself

	users map[string]string // bcrypt of each user's password
}

// User is who makes a request to a listener, by basic authentication; "" where there is none, or the
// password is wrong. The toolkit has let nobody else through, but has read the file before: should its
// users be gone since then, or have been missing, nobody is taken for one of them. It takes the time of
// a bcrypt.
func (c Config) User(r *http.Request) string {
	name, password, ok := r.BasicAuth()
	settings, err := Inspect(c.WebConfigFile)
	if err != nil || !ok {
		return ""
	}
	hash, known := settings.users[name]
	if !known || bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
		return ""
	}

	return name
}

// Authenticates reports whether who gets through has shown who he is.
func (w Web) Authenticates() bool { return w.BasicAuth || w.ClientCerts }

// Inspect reads a web configuration file, with what it names. No name of a file means none of it.
func Inspect(file string) (Web, error) {
	if file == "" {
		return Web{}, nil
	}
	if err := web.Validate(file); err != nil {
		return Web{}, fmt.Errorf("web configuration file %s: %w", file, err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return Web{}, err
	}

	var c struct {
		TLS struct {
			Cert       string `yaml:"cert"`
			Key        string `yaml:"key"`
			CertFile   string `yaml:"cert_file"`
			KeyFile    string `yaml:"key_file"`
			ClientAuth string `yaml:"client_auth_type"`
			ClientCA   string `yaml:"client_ca_file"`
		} `yaml:"tls_server_config"`
		Users map[string]string `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(text, &c); err != nil {
		return Web{}, fmt.Errorf("web configuration file %s: %w", file, err)
	}

	beside := func(name string) string { // relative to the file, as the toolkit has it
		if name == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(file), name)
	}
	w := Web{
		TLS:            c.TLS.Cert != "" || c.TLS.CertFile != "",
		BasicAuth:      len(c.Users) > 0,
		ClientCerts:    c.TLS.ClientAuth == "RequireAndVerifyClientCert",
		KeyFile:        beside(c.TLS.KeyFile),
		HoldsKey:       c.TLS.Key != "",
		Certificate:    beside(c.TLS.CertFile),
		CertificatePEM: c.TLS.Cert,
		users:          c.Users,
	}
	for _, name := range []string{w.Certificate, w.KeyFile, beside(c.TLS.ClientCA)} {
		if name != "" {
			w.Files = append(w.Files, name)
		}
	}

	return w, nil
}
