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

// Web describes the contents of a web configuration file.
type Web struct {
	TLS            bool
	BasicAuth      bool     // it has users with passwords
	ClientCerts    bool     // clients need a certificate signed by a configured authority
	Files          []string // certificate and key files that it names
	KeyFile        string   // the private key's file
	ContainsKey    bool     // the private key itself is in the file
	Certificate    string   // file with the server's certificate
	CertificatePEM string   // or the certificate itself

	users map[string]string // bcrypt hash of each user's password
}

// User returns the user of a request with basic authentication, or "" if there is none or the
// password is wrong. The toolkit has already authenticated the request, but it may have read an
// earlier version of the file. If the user has been removed since, User returns "". It reads the
// file, and compares one bcrypt hash.
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

// Authenticates reports whether clients need a password or a certificate.
func (w Web) Authenticates() bool { return w.BasicAuth || w.ClientCerts }

// Inspect reads a web configuration file and the files that it names. If file is "", it returns the
// zero value.
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

	resolve := func(name string) string { // relative to the file, as in the toolkit
		if name == "" || filepath.IsAbs(name) {
			return name
		}
		return filepath.Join(filepath.Dir(file), name)
	}
	w := Web{
		TLS:            c.TLS.Cert != "" || c.TLS.CertFile != "",
		BasicAuth:      len(c.Users) > 0,
		ClientCerts:    c.TLS.ClientAuth == "RequireAndVerifyClientCert",
		KeyFile:        resolve(c.TLS.KeyFile),
		ContainsKey:    c.TLS.Key != "",
		Certificate:    resolve(c.TLS.CertFile),
		CertificatePEM: c.TLS.Cert,
		users:          c.Users,
	}
	for _, name := range []string{w.Certificate, w.KeyFile, resolve(c.TLS.ClientCA)} {
		if name != "" {
			w.Files = append(w.Files, name)
		}
	}

	return w, nil
}
