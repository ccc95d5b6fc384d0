package natsd

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"backburn/auth"
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
	if err := writePrivate(file, made+"\n"); err != nil {
		return auth.Secret{}, fmt.Errorf("token of the embedded nats server: %w", err)
	}
	return auth.NewSecret(made), nil
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
