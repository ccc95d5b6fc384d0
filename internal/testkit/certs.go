package testkit

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates for 127.0.0.1 and for clients.
type Authority struct {
	File string // its certificate, PEM
	Pool *x509.CertPool

	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority returns a new authority. Clients must be configured to trust it.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, Pool: x509.NewCertPool(), key: newKey(t)}
	template := template()
	template.IsCA = true
	template.BasicConstraintsValid = true
	template.KeyUsage = x509.KeyUsageCertSign
	a.cert = a.sign(template, template, a.key)
	a.Pool.AddCert(a.cert)
	a.File = a.write("CERTIFICATE", a.cert.Raw)

	return a
}

// Certificate returns a certificate and its key as files.
func (a *Authority) Certificate() (certFile, keyFile string) {
	a.t.Helper()
	key := newKey(a.t)
	template := template()
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	cert := a.sign(template, a.cert, key)
	der := must(x509.MarshalPKCS8PrivateKey(key))(a.t)

	return a.write("CERTIFICATE", cert.Raw), a.write("PRIVATE KEY", der)
}

// ServerTLS returns the configuration of a server. With clients set, it requires client
// certificates of this authority.
func (a *Authority) ServerTLS(clients bool) *tls.Config {
	a.t.Helper()
	cert := must(tls.LoadX509KeyPair(a.Certificate()))(a.t)
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}}
	if clients {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, a.Pool
	}

	return cfg
}

func template() *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "test"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
}

func (a *Authority) sign(template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	der := must(x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, a.key))(a.t)

	return must(x509.ParseCertificate(der))(a.t)
}

func (a *Authority) write(kind string, der []byte) string {
	a.t.Helper()
	file := filepath.Join(a.t.TempDir(), "file.pem")
	noError(a.t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))

	return file
}
