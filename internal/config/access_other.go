//go:build !unix

package config

import (
	"os"
)

// accessible tries to list the folder. It does not check write permission: a folder that is not
// writable is an error at its first use.
func accessible(dir string, _ access) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return f.Close()
}
