package natsconn

import (
	"fmt"

	"github.com/nats-io/nats.go"

	"backburn/auth"
)

// transport returns the TLS configuration of a connection, and reads its files once, so that faults
// are reported at the start. With a CA file or a client certificate TLS is required, whatever the
// scheme of the address.
func transport(t TLS) ([]nats.Option, error) {
	var options []nats.Option
	if t.CAFile != "" {
		option := nats.RootCAs(t.CAFile)
		if err := option(new(nats.Options)); err != nil {
			return nil, fmt.Errorf("nats.tls.ca_file: %w", err)
		}
		options = append(options, option)
	}

	if t.CertFile != "" {
		if err := auth.CheckSecretFile(t.KeyFile); err != nil {
			return nil, fmt.Errorf("nats.tls.key_file: %w", err)
		}

		option := nats.ClientCert(t.CertFile, t.KeyFile)
		if err := option(new(nats.Options)); err != nil {
			return nil, fmt.Errorf("nats.tls.cert_file: %w", err)
		}
		options = append(options, option)
	}

	return options, nil
}
