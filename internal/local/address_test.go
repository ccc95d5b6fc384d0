package local_test

import (
	"strings"
	"testing"

	"backburn/internal/local"
)

func TestValid(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"":                                  true,
		"unix:/run/a.sock":                  true,
		"unix:run/a.sock":                   false,
		"unix:/run/":                        false,
		"unix:/" + strings.Repeat("x", 98):  true,
		"unix:/" + strings.Repeat("x", 99):  false,
		"unix:/" + strings.Repeat("x", 100): false,
		"127.0.0.1:3310":                    true,
		"127.9.9.9:0":                       true,
		"localhost:3310":                    true,
		"[::1]:3310":                        true,
		"[::ffff:127.0.0.1]:3310":           true,
		"0.0.0.0:3310":                      false,
		":3310":                             false,
		"192.0.2.1:3310":                    false,
		"example.com:3310":                  false,
		"127.0.0.1":                         false,
		"127.0.0.1:x":                       false,
		"127.0.0.1:70000":                   false,
		"/run/a.sock":                       false,
	} {
		if got := local.Valid(address); got != want {
			t.Errorf("%q: %v", address, got)
		}
	}
}
