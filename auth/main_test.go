package auth_test

import (
	"os"
	"testing"

	"backburn/internal/testkit/leaks"
)

// childProcesses are the functions that the test binary runs instead of tests, by the environment
// variable that selects them. The variable's value is the argument.
var childProcesses = map[string]func(order string){memberEnv: member}

func TestMain(m *testing.M) {
	for name, child := range childProcesses {
		if order := os.Getenv(name); order != "" {
			child(order)
			return
		}
	}
	leaks.Main(m)
}
