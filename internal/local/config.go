package local

import (
	"io/fs"
	"strconv"
)

// Config configures a Listener. Its keys are part of a table of the configuration, such as [clamd].
type Config struct {
	Listen         string `toml:"listen" doc:"Unix socket, such as \"unix:/run/backburn/NAME.sock\", or a loopback address, such as \"127.0.0.1:3310\". Empty: off. Clients are not authenticated."`
	Mode           string `toml:"mode" doc:"Mode of the socket, in octal. Whoever may write to it may connect."`
	MaxConnections int    `toml:"max_connections" doc:"Most connections at a time. Further ones wait."`
}

// Check calls bad for each key with an invalid value.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	if !Valid(c.Listen) {
		bad("listen", Rule)
	}
	if _, err := fileMode(c.Mode); err != nil {
		bad("mode", `permissions in octal, such as "0660"`)
	}
	if c.MaxConnections < 1 || c.MaxConnections > 10_000 {
		bad("max_connections", "1 to 10000")
	}
}

// fileMode parses permissions in octal.
func fileMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return 0, strconv.ErrSyntax
	}

	return fs.FileMode(n), nil
}
