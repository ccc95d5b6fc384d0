package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"backburn/internal/e2e"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"backburn": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	e2e.Scripts(t)
}
