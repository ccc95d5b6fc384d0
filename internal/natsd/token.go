package natsd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"backburn/auth"
	"backburn/internal/rootfs"
)

// keepToken reads the token, or makes one that nobody can guess and writes it, mode
// 0600, whole or not at all. Only the holder of the store's lock calls it.
func keepToken(file string) (auth.Secret, error) {
	token, err := auth.ReadSecretFile(file)
	if !errors.Is(err, os.ErrNotExist) {
		if err != nil {
			err = fmt.Errorf("token of the embedded nats server: %w; delete the file, and a new one is made", err)
		}
		return token, err
	}
	made := rand.Text() + rand.Text() // 256 bits
	if err := rootfs.WriteFile(file, []byte(made+"\n"), rootfs.Write{}); err != nil {
		return auth.Secret{}, fmt.Errorf("token of the embedded nats server: %w", err)
	}
	return auth.NewSecret(made), nil
}
