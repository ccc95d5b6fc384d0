package cli

import (
	"os"
	"path/filepath"
)

// systemFolder is where packages put the configuration: backburn.toml, and secrets below
// credentials. It is set by the linker, for packages alone.
var systemFolder string

// useSystemCredentials lets commands outside of systemd find the secrets ("cred:NAME") that units
// of packages get from it.
func useSystemCredentials() {
	const variable = "CREDENTIALS_DIRECTORY"
	if _, set := os.LookupEnv(variable); !set && systemFolder != "" {
		_ = os.Setenv(variable, filepath.Join(systemFolder, "credentials")) // without it the secret is reported as missing
	}
}
