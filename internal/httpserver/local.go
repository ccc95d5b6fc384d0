package httpserver

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
)

// LocalClient returns a client for a listener of another process on this machine with the same
// configuration, and the listener's URL without a path. With TLS, the client trusts only the
// listener's own certificate. It does not use basic authentication, because the passwords are not
// known.
func (c Config) LocalClient() (client *http.Client, url string, err error) {
	host, port, err := net.SplitHostPort(c.Listen)
	if err != nil || port == "0" {
		return nil, "", errors.New("the listen address is not a fixed one")
	}
	if addr, err := netip.ParseAddr(host); host == "" || err == nil && addr.IsUnspecified() {
		host = "127.0.0.1"
	}
	settings, err := Inspect(c.WebConfigFile)
	if err != nil {
		return nil, "", err
	}

	transport := &http.Transport{DisableKeepAlives: true} // no proxy, because the listener is on this machine
	scheme := "http://"
	if settings.TLS {
		scheme = "https://"
		leaf, err := settings.leaf()
		if err != nil {
			return nil, "", err
		}
		transport.TLSClientConfig = &tls.Config{
			InsecureSkipVerify: true, //nolint:gosec // the certificate itself is compared, whatever names it has
			MinVersion:         tls.VersionTLS12,
			VerifyConnection: func(s tls.ConnectionState) error {
				if len(s.PeerCertificates) == 0 || !bytes.Equal(s.PeerCertificates[0].Raw, leaf.Raw) {
					return errors.New("the certificate is not the one in the web configuration file")
				}
				return nil
			},
		}
	}

	return &http.Client{Transport: transport}, scheme + net.JoinHostPort(host, port), nil
}

// leaf returns the server's certificate.
func (w Web) leaf() (*x509.Certificate, error) {
	text := []byte(w.CertificatePEM)
	if w.Certificate != "" {
		var err error
		if text, err = os.ReadFile(w.Certificate); err != nil {
			return nil, err
		}
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" { // the file may also have the key
			return x509.ParseCertificate(block.Bytes)
		}
	}

	return nil, errors.New("no certificate in PEM")
}
