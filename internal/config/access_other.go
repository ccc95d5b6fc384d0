//go:build !unix

package config

import (
	"os"
)

// accessible tries to list the folder; whether it can be written to shows at the first
// claim.
func accessible(dir string, _ access) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return f.Close()
}
