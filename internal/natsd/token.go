package natsd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"backburn/auth"
	"backburn/internal/rootfs"
)

// loadOrCreateToken reads the token, or creates a random one with mode 0600. Only the holder of the
// store's lock calls it.
func loadOrCreateToken(file string) (auth.Secret, error) {
	token, err := auth.ReadSecretFile(file)
	if !errors.Is(err, os.ErrNotExist) {
		if err != nil {
			err = fmt.Errorf("token of the embedded nats server: %w; delete the file to get a new one", err)
		}
		return token, err
	}

	generated := rand.Text() + rand.Text() // 256 bits
	if err := rootfs.WriteFile(file, []byte(generated+"\n"), rootfs.Write{}); err != nil {
		return auth.Secret{}, fmt.Errorf("token of the embedded nats server: %w", err)
	}

	return auth.NewSecret(generated), nil
}
