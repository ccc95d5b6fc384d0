package secret

import (
	"io/fs"
	"os"
	"path/filepath"
)

// isSecretMount reports whether path is where Docker, Kubernetes or systemd put secrets: the
// operator cannot choose their modes (0444, 0644, 0440), and anybody with access to the container
// can read the secret anyway.
func isSecretMount(path string) bool {
	abs, err := filepath.Abs(path)
	if err != nil {
		return false
	}

	dirs := []string{"/run/secrets", "/var/run/secrets", "/run/credentials"}
	if d := os.Getenv("CREDENTIALS_DIRECTORY"); d != "" {
		dirs = append(dirs, d)
	}

	for _, d := range dirs {
		if rel, err := filepath.Rel(d, abs); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}

	// A Kubernetes volume anywhere: its files are links into "..data", which is a link too.
	link, err := os.Lstat(filepath.Join(filepath.Dir(abs), "..data"))

	return err == nil && link.Mode()&fs.ModeSymlink != 0
}
