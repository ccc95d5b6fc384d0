package natsd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"backburn/auth"
	"backburn/internal/config"
)

// keepToken reads the token, or makes one that nobody can guess and writes it, mode
// 0600, whole or not at all. Only the holder of the store's lock calls it.
func keepToken(file string) (auth.Secret, error) {
	switch b, err := os.ReadFile(file); {
	case err == nil:
		if err := config.CheckSecretFile(file); err != nil {
			return auth.Secret{}, fmt.Errorf("token of the embedded nats server: %w", err)
		}
		token := auth.NewSecret(strings.TrimRight(string(b), "\r\n"))
		if !token.IsSet() {
			return auth.Secret{}, fmt.Errorf("token of the embedded nats server: %s is empty; delete it, and a new one is made", file)
		}
		return token, nil
	case !errors.Is(err, os.ErrNotExist):
		return auth.Secret{}, fmt.Errorf("token of the embedded nats server: %w", err)
	}
	token := rand.Text() + rand.Text() // 256 bits
	if err := writePrivate(file, token+"\n"); err != nil {
		return auth.Secret{}, fmt.Errorf("token of the embedded nats server: %w", err)
	}
	return auth.NewSecret(token), nil
}

// writePrivate writes a file that only this user can read, and makes it durable.
func writePrivate(file, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), file); err != nil {
		return err
	}
	return syncDir(filepath.Dir(file))
}
