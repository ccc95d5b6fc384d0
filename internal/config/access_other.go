//go:build !unix

package config

import (
	"os"
)

// accessible tries to list the folder. It does not check write permission, which the first claim
// does.
func accessible(dir string, _ access) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return f.Close()
}
