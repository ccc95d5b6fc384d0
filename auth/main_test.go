package auth_test

import (
	"os"
	"testing"

	"backburn/internal/testkit/leaks"
)

// children are what the test binary can be besides itself, by environment variable.
var children = map[string]func(order string){memberEnv: member}

func TestMain(m *testing.M) {
	for name, child := range children {
		if order := os.Getenv(name); order != "" {
			child(order)
			return
		}
	}
	leaks.Main(m)
}
