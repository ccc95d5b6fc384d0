package httpserver

import (
	"net"
	"net/netip"
	"path"
	"regexp"
	"strconv"
	"strings"

	"backburn/internal/loopback"
)

// Config configures a listener and its limits. Its keys are in the configuration table of the part
// that owns the listener.
type Config struct {
	Listen        string   `toml:"listen" doc:"Address as host:port. Empty: off."`
	WebConfigFile string   `toml:"web_config_file" own:"keys" doc:"TLS, client certificates and basic authentication: the web configuration file of the Prometheus exporter toolkit. It is read again for every connection. Empty: none of them."`
	Names         []string `toml:"names" doc:"Host names that requests may use, such as \"backburn.example.com\" or \"*.example.com\". This machine's names (localhost), the address of the connection and the host in listen are always allowed."`
	BasePath      string   `toml:"base_path" doc:"Path at which a proxy serves this listener, such as \"/backburn\". Requests may contain it or not."`

	MaxConnections          int `toml:"max_connections" doc:"Most connections at a time; at most a quarter of the files that the process may open."`
	MaxConnectionsPerClient int `toml:"max_connections_per_client" doc:"Most connections from one address (IPv6: one /64). All connections through a proxy come from its address."`
}

// DefaultConfig has the default limits, and no address.
func DefaultConfig() Config {
	return Config{Names: []string{}, MaxConnections: 512, MaxConnectionsPerClient: 128}
}

// Check calls bad for each key with an invalid value.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := func(ok bool, key, expected string) {
		if !ok {
			bad(key, expected)
		}
	}
	want(validListen(c.Listen), "listen", `an address such as "127.0.0.1:9464", or "" for none`)
	for i, name := range c.Names {
		_, err := netip.ParseAddr(name)
		want(err == nil || hostName.MatchString(name), "names["+strconv.Itoa(i)+"]",
			`a host such as "backburn.example.com", "*.example.com" or "192.0.2.7", without a port`)
	}
	want(c.BasePath == "" || basePath.MatchString(c.BasePath) && path.Clean(c.BasePath) == c.BasePath, "base_path",
		`a path such as "/backburn", or "" for none`)
	want(c.MaxConnections >= 1, "max_connections", "1 or more")
	want(c.MaxConnectionsPerClient >= 1, "max_connections_per_client", "1 or more")
}

var (
	hostName = regexp.MustCompile(`^(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$`)
	basePath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)
)

// validListen reports whether s is a valid address to listen on; "" means none, and is valid.
func validListen(s string) bool {
	_, port, err := net.SplitHostPort(s)
	n, bad := strconv.Atoi(port)

	return s == "" || err == nil && bad == nil && n >= 0 && n <= 65535
}

// Local reports whether the listener accepts connections only from this machine.
func (c Config) Local() bool { return loopback.Host(hostOf(c.Listen)) }

// hostOf returns the host of host:port, or of a host alone, in lower case and without brackets.
func hostOf(s string) string {
	if host, _, err := net.SplitHostPort(s); err == nil {
		s = host
	}
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")

	return strings.ToLower(strings.TrimSuffix(s, "."))
}
