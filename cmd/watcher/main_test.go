package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/testkit"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"watcher": main,
		"worker":  testkit.StandIn("worker", config.WorkerPart, app.Roles{Work: true}),
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testkit.Scripts(t)
}
