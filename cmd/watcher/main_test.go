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
		"watcher": main,
		"worker":  e2e.StandIn("worker", config.WorkerPart, node.Roles{Work: true}),
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	e2e.Scripts(t)
}
