package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"backburn/internal/config"
	"backburn/internal/e2e"
	"backburn/internal/node"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"worker":  main,
		"watcher": e2e.StandIn("watcher", config.WatcherPart, node.Roles{Watch: true}),
		"nats":    e2e.NATS,
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	e2e.Scripts(t)
}
