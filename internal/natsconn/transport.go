package natsconn

import (
	"fmt"

	"github.com/nats-io/nats.go"

	"backburn/auth"
)

// transport returns the TLS configuration of a connection. With a CA file or a client certificate
// TLS is required, whatever the scheme of the address.
func transport(t TLS) ([]nats.Option, error) {
	var options []nats.Option
	if t.CAFile != "" {
		options = append(options, nats.RootCAs(t.CAFile))
	}

	if t.CertFile != "" {
		if err := auth.CheckSecretFile(t.KeyFile); err != nil {
			return nil, fmt.Errorf("nats.tls.key_file: %w", err)
		}
		options = append(options, nats.ClientCert(t.CertFile, t.KeyFile))
	}

	return options, nil
}
