package wildfire

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"backburn/internal/proxy"
)

// TransportConfig describes how to reach the network. The API client and the token client should
// share one, so that a proxy or a private certificate authority applies to both.
type TransportConfig struct {
	// Proxy is the proxy's URL (http, https or socks5). If it is empty, HTTPS_PROXY, HTTP_PROXY and
	// NO_PROXY in the environment apply; an unusable HTTPS_PROXY is an error. "direct" means no
	// proxy.
	Proxy string

	// CAFile names a PEM file whose certificates are trusted in addition to those of the system,
	// for example for a WF-500 appliance with a certificate of its own. Verification cannot be
	// switched off.
	CAFile string `toml:"ca_file" own:"true" doc:"PEM file of certificate authorities, in addition to those of the system."`

	// CertFile and KeyFile name a client certificate and its key, for gateways that require one.
	// Set both or neither.
	CertFile, KeyFile string

	// DialTimeout limits the time to connect, and TLSTimeout that of the TLS handshake.
	DialTimeout, TLSTimeout time.Duration

	// ContinueTimeout is how long a request with "Expect: 100-continue" waits for the answer "100
	// Continue". After that its body is sent anyway.
	ContinueTimeout time.Duration

	// IdleTimeout closes connections that were unused for this long. Choose it shorter than the
	// server's own timeout, so that no request uses a connection that the server is closing.
	IdleTimeout time.Duration

	// MaxIdlePerHost is the number of idle connections that are kept for each host; 0 means 2.
	MaxIdlePerHost int

	// PingTimeout finds dead HTTP/2 connections. A call that times out does not close its
	// connection, because other calls share it. If nothing was received on a connection for this
	// long, a ping is sent. If there is no reply within the same time again, the connection is
	// closed. A ping is sent only after the data before it, so on a slow line PingTimeout must be
	// longer than it takes to send that data. 0 disables pings.
	PingTimeout time.Duration

	// DisableHTTP2 allows only HTTP/1.1.
	DisableHTTP2 bool
}

// DefaultTransportConfig returns the settings that DefaultConfig uses.
func DefaultTransportConfig() TransportConfig {
	return TransportConfig{
		DialTimeout:     10 * time.Second,
		TLSTimeout:      10 * time.Second,
		ContinueTimeout: 2 * time.Second,
		IdleTimeout:     50 * time.Second,
		PingTimeout:     30 * time.Second,
		MaxIdlePerHost:  64,
	}
}

// NewTransport builds a transport. It uses TLS 1.2 or later, HTTP/2 if the server offers it, and
// the system's certificate authorities plus those in CAFile. It asks for no compression, because
// the lengths of downloads are checked. It reads the files now, and never again.
func NewTransport(cfg TransportConfig) (*http.Transport, error) {
	via, err := proxyFunc(cfg.Proxy)
	if err != nil {
		return nil, err
	}

	security, err := tlsConfig(cfg)
	if err != nil {
		return nil, err
	}

	transport := &http.Transport{
		Proxy:                 via,
		DialContext:           (&net.Dialer{Timeout: cfg.DialTimeout, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       security,
		TLSHandshakeTimeout:   cfg.TLSTimeout,
		ExpectContinueTimeout: cfg.ContinueTimeout,
		IdleConnTimeout:       cfg.IdleTimeout,
		MaxIdleConns:          4 * cfg.MaxIdlePerHost,
		MaxIdleConnsPerHost:   cfg.MaxIdlePerHost,
		DisableCompression:    true,
		ForceAttemptHTTP2:     !cfg.DisableHTTP2,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: cfg.PingTimeout, PingTimeout: cfg.PingTimeout},
		WriteBufferSize:       32 << 10,

		MaxResponseHeaderBytes: 64 << 10,
		OnProxyConnectResponse: proxy.CheckConnect,
	}
	if cfg.DisableHTTP2 {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(true)
		transport.Protocols = protocols
	}

	return transport, nil
}

func proxyFunc(address string) (func(*http.Request) (*url.URL, error), error) {
	switch address {
	case "":
		return http.ProxyFromEnvironment, proxy.CheckEnvironment()
	case "direct":
		return nil, nil
	}

	u, err := proxy.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}

	return http.ProxyURL(u), nil
}

func tlsConfig(cfg TransportConfig) (*tls.Config, error) {
	security := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CAFile != "" {
		pem, err := os.ReadFile(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}

		roots, err := x509.SystemCertPool()
		if err != nil {
			// Some systems have no certificate store. Then only the authorities in CAFile are
			// trusted.
			roots = x509.NewCertPool()
		}

		if !roots.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s contains no PEM certificate", cfg.CAFile)
		}

		security.RootCAs = roots
	}

	if cfg.CertFile != "" || cfg.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("client certificate: %w", err)
		}

		security.Certificates = []tls.Certificate{pair}
	}

	return security, nil
}
