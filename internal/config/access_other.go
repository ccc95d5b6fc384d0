//go:build !unix

package config

import (
	"io/fs"
	"os"
)

// exposed finds nothing: permissions are access control lists here, which are not read.
func exposed(string, fs.FileInfo) string { return "" }

// accessible tries to list the folder; whether it can be written to shows at the first
// claim.
func accessible(dir string, _ access) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return f.Close()
}
