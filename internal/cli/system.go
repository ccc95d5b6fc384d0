package cli

import (
	"os"
	"path/filepath"
)

// systemFolder is where packages put the configuration: backburn.toml, and secrets below
// credentials. It is set by the linker, for packages alone.
var systemFolder string

// useSystemCredentials lets commands outside of systemd find the secrets ("cred:NAME") that units
// of packages get from it. What systemd runs for a reload is told of a folder that it cannot see.
func useSystemCredentials() {
	const variable = "CREDENTIALS_DIRECTORY"
	if _, err := os.Stat(os.Getenv(variable)); err != nil && systemFolder != "" { //nolint:gosec // systemd names it
		_ = os.Setenv(variable, filepath.Join(systemFolder, "credentials")) // without it the secret is reported as missing
	}
}
