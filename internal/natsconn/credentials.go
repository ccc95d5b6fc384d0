package natsconn

import (
	"errors"
	"fmt"
	"net/url"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"

	"backburn/auth"
	"backburn/internal/loopback"
)

// credentials returns the authentication of a connection, and reads its files once, so that faults
// are reported at the start. All are read again at every reconnection, so that they can be renewed
// in place. Only the NKey must stay the same.
func credentials(cfg Config) ([]nats.Option, error) {
	switch {
	case cfg.CredentialsFile != "":
		return userCredentials(cfg.CredentialsFile)
	case cfg.NKeyFile != "":
		return nkey(cfg.NKeyFile)
	case cfg.User != "":
		return password(cfg.User, cfg.PasswordFile)
	}

	return token(cfg)
}

func userCredentials(file string) ([]nats.Option, error) {
	if err := auth.CheckSecretFile(file); err != nil {
		return nil, fmt.Errorf("nats.credentials_file: %w", err)
	}
	contents, err := os.ReadFile(file)
	if err == nil {
		_, err = nkeys.ParseDecoratedNKey(contents)
	}
	if err != nil {
		return nil, fmt.Errorf("nats.credentials_file %s: %w; expected a .creds file, as nsc makes", file, err)
	}

	return []nats.Option{nats.UserCredentials(file)}, nil
}

func nkey(file string) ([]nats.Option, error) {
	if err := auth.CheckSecretFile(file); err != nil {
		return nil, fmt.Errorf("nats.nkey_file: %w", err)
	}
	option, err := nats.NkeyOptionFromSeed(file)
	if err != nil {
		return nil, fmt.Errorf("nats.nkey_file %s: %w; expected the seed of a user, which begins with SU", file, err)
	}

	return []nats.Option{option}, nil
}

func password(user, file string) ([]nats.Option, error) {
	if _, err := auth.ReadSecretFile(file); err != nil {
		return nil, fmt.Errorf("nats.password_file: %w", err)
	}
	return []nats.Option{nats.UserInfoHandler(func() (string, string) { return user, reveal(file) })}, nil
}

func token(cfg Config) ([]nats.Option, error) {
	file := cfg.TokenFile
	if file == "" && cfg.Embedded.Enabled {
		file = cfg.Embedded.TokenFile()
		if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
			return nil, nil // no embedded server has run here; the server at nats.url may need no token
		}
	}

	if file == "" {
		return nil, nil
	}
	if _, err := auth.ReadSecretFile(file); err != nil {
		return nil, fmt.Errorf("nats.token_file: %w", err)
	}

	return []nats.Option{nats.TokenHandler(func() string { return reveal(file) })}, nil
}

// reveal reads a secret again. It returns "" if the file is unreadable; the server then rejects the
// connection, and Health reports the rejection.
func reveal(file string) string {
	secret, _ := auth.ReadSecretFile(file)
	return secret.Reveal()
}

// warnUnencrypted logs a warning about a password or token that is sent unencrypted. The private
// keys of credentials files and NKeys never leave the machine: they sign the server's challenge.
func warnUnencrypted(cfg Config, log zerolog.Logger) {
	key := ""
	switch {
	case cfg.User != "":
		key = "nats.password_file"
	case cfg.TokenFile != "":
		key = "nats.token_file"
	}

	if key == "" || cfg.TLS.CAFile != "" || cfg.TLS.CertFile != "" {
		return
	}

	for _, server := range cfg.URLs() {
		u, err := url.Parse(server)
		if err == nil && (u.Scheme == "nats" || u.Scheme == "ws") && !loopback.Host(u.Hostname()) {
			log.Warn().Str("server", server).Str("key", key).
				Msg("this secret is sent to another machine without TLS; use tls:// or wss:// in nats.url, or set nats.tls.ca_file")
		}
	}
}
