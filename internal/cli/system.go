package cli

import (
	"os"
	"path/filepath"
)

// systemFolder is the folder in which packages install backburn.toml. Secrets are in its folder
// "credentials". Only the builds for packages set it, through the linker.
var systemFolder string

// useSystemCredentials lets commands outside of systemd find the secrets ("cred:NAME") that systemd
// passes to the units. For a reload command, systemd sets the variable to a folder that the command
// cannot see.
func useSystemCredentials() {
	const variable = "CREDENTIALS_DIRECTORY"
	if _, err := os.Stat(os.Getenv(variable)); err != nil && systemFolder != "" { //nolint:gosec // systemd names it
		_ = os.Setenv(variable, filepath.Join(systemFolder, "credentials")) // if this fails, the secret is reported as missing
	}
}
