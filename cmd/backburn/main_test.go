package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"backburn/internal/testkit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"backburn":         main,
		"backburn-deaf":    deaf,
		"backburn-watcher": main,
		"backburn-worker":  main,
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testkit.Scripts(t)
}
