package loopback_test

import (
	"testing"

	"backburn/internal/loopback"
)

func TestHost(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost":               true,
		"LocalHost":               true,
		"a.localhost":             false,
		"127.0.0.1":               true,
		"127.1.2.3":               true,
		"::1":                     true,
		"::ffff:127.0.0.1":        true,
		"":                        false,
		"0.0.0.0":                 false,
		"::":                      false,
		"128.0.0.1":               false,
		"192.0.2.7":               false,
		"example.com":             false,
		"notlocalhost":            false,
		"localhost.example.com":   false,
		"127.0.0.1.example.com":   false,
		"localhost:80":            false,
		"127.0.0.1:80":            false,
		"[::1]":                   false,
		"::ffff:192.0.2.7":        false,
		"127.0.0.1, 198.51.100.1": false,
	} {
		if got := loopback.Host(host); got != want {
			t.Errorf("Host(%q) = %t, want %t", host, got, want)
		}
	}
}
