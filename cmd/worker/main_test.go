package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"backburn/internal/daemons"
	"backburn/internal/testkit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"worker":  main,
		"watcher": func() { os.Exit(daemons.Main(daemons.Watcher())) },
		"nats":    testkit.NATS,
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testkit.Scripts(t)
}
