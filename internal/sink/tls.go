package sink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"backburn/auth"
)

// TLSFiles are the PEM files for connections to a receiver. Without CertFile and KeyFile, Backburn
// presents no certificate.
type TLSFiles struct {
	CAFile   string `toml:"ca_file" own:"true" kinds:"webhook syslog" doc:"PEM file of certificate authorities. Empty: those of the system."`
	CertFile string `toml:"cert_file" own:"true" kinds:"webhook syslog" doc:"PEM file with a client certificate. Needs key_file."`
	KeyFile  string `toml:"key_file" own:"secret" kinds:"webhook syslog" doc:"PEM file with the key, mode 0600."`
}

// clientConfig returns the TLS configuration of connections, which read the client certificate and
// key again each time. server is the name that the receiver's certificate must have; "": the
// connection sets it.
func (t TLSFiles) clientConfig(server string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: server}
	if t.CAFile != "" {
		pem, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		cfg.RootCAs = x509.NewCertPool()
		if !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New("ca_file: no PEM certificates")
		}
	}
	if t.CertFile != "" {
		if _, err := t.loadCertificate(nil); err != nil {
			return nil, err
		}
		cfg.GetClientCertificate = t.loadCertificate
	}

	return cfg, nil
}

// loadCertificate reads the client certificate and its key.
func (t TLSFiles) loadCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	if err := auth.CheckSecretFile(t.KeyFile); err != nil {
		return nil, fmt.Errorf("key_file: %w", err)
	}
	cert, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("cert_file: %w", err)
	}

	return &cert, nil
}
