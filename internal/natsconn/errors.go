package natsconn

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// Errors of Connect. The text of an error that wraps one of them says what to do.
var (
	ErrUnreachable = errors.New("no NATS server answers")
	ErrRefused     = errors.New("the NATS server refuses the credentials")
	ErrOversized   = errors.New("the credentials are larger than the NATS server accepts")
	ErrTLS         = errors.New("no TLS connection to the NATS server")
	ErrClosed      = errors.New("the NATS server closes the connection")
	ErrRole        = errors.New("the NATS user has another role")
)

// explain adds the meaning of a connection error, and what to do about it.
func explain(cfg Config, err error) error {
	condition := condition(cfg, err)
	return fmt.Errorf("connect to %s: %w: %w; %s", cfg.URL, condition, err, remedy(cfg, condition, err))
}

// condition finds the sentinel for err. A server often closes the connection before the client has
// read the reason.
func condition(cfg Config, err error) error {
	for _, refusal := range []error{
		nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked, nats.ErrAccountAuthExpired,
	} {
		if errors.Is(err, refusal) {
			return ErrRefused
		}
	}

	switch {
	case strings.Contains(err.Error(), "maximum control line exceeded"):
		return ErrOversized
	case strings.Contains(err.Error(), "connections exceeded"): // of the server or the account; while connecting, the client returns no sentinel
		return ErrClosed
	case isTLS(err):
		return ErrTLS
	case errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		if oversized(cfg) {
			return ErrOversized
		}

		return ErrClosed
	}

	return ErrUnreachable
}

// wrongRole is the error for a user that may not receive answers at the inbox prefix.
func wrongRole(cfg Config, inbox string) error {
	role := inbox[strings.LastIndex(inbox, "_")+1:]

	return fmt.Errorf("connect to %s: %w: it may not receive answers at %s.>; "+
		"use the credentials of the role %s, whose permissions `backburn acl` prints", cfg.URL, ErrRole, inbox, role)
}

// defaultControlLine is a server's default limit for a client's first line; lineHeadroom is the
// size of that line without the JWT. Both are in bytes.
const (
	defaultControlLine = 4 << 10
	lineHeadroom       = 400
)

// oversized reports whether the credentials may not fit into the first line.
func oversized(cfg Config) bool {
	if cfg.CredentialsFile == "" {
		return false
	}
	contents, err := os.ReadFile(cfg.CredentialsFile)
	if err != nil {
		return false
	}
	jwt, err := nkeys.ParseDecoratedJWT(contents)

	return err == nil && len(jwt) > defaultControlLine-lineHeadroom
}

func isTLS(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		alert        tls.AlertError
		header       tls.RecordHeaderError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
	)
	return errors.Is(err, nats.ErrSecureConnRequired) || errors.Is(err, nats.ErrSecureConnWanted) ||
		errors.As(err, &verification) || errors.As(err, &alert) || errors.As(err, &header) ||
		errors.As(err, &authority) || errors.As(err, &hostname) ||
		strings.Contains(err.Error(), "tls: ") || strings.Contains(err.Error(), "TLS handshake")
}

func remedy(cfg Config, condition, err error) string {
	switch condition {
	case ErrRefused: //nolint:errorlint // a sentinel, never wrapped
		return credentialsRemedy(cfg)
	case ErrOversized:
		return "make the user's permissions as small as those of `backburn acl`, or raise the server's max_control_line"
	case ErrClosed:
		return "the server may have reached max_connections, or the account its own limit: see the server's log"
	case ErrTLS:
		return tlsRemedy(cfg, err)
	}

	return "start one with `backburn run`, or set nats.url to a running server"
}

func credentialsRemedy(cfg Config) string {
	switch {
	case cfg.CredentialsFile != "":
		return "check nats.credentials_file: it may be expired, revoked, or of another account"
	case cfg.NKeyFile != "":
		return "check nats.nkey_file, and that the server knows its public key"
	case cfg.User != "":
		return "check nats.user and nats.password_file"
	case cfg.TokenFile != "":
		return "check nats.token_file"
	case cfg.Embedded.Enabled:
		return fmt.Sprintf("expected the server's token in %s: run in the same working directory as `backburn run`, or set nats.token_file",
			cfg.Embedded.TokenFile())
	}

	return "set nats.credentials_file, nats.nkey_file, nats.user or nats.token_file"
}

func tlsRemedy(cfg Config, err error) string {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
	)
	switch {
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "the server does not support TLS: enable it there, or use nats:// in nats.url without nats.tls"
	case errors.As(err, &authority):
		return "set nats.tls.ca_file to the authority of the server's certificate"
	case errors.As(err, &hostname):
		return "use a name in nats.url that is in the server's certificate"
	case cfg.TLS.CertFile == "":
		return "if the server requires a certificate, set nats.tls.cert_file and nats.tls.key_file; otherwise see its log"
	}

	return "check nats.tls and the certificates of both sides"
}
