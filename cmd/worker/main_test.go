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
		"worker":  main,
		"watcher": testkit.StandIn("watcher", config.WatcherPart, app.Roles{Watch: true}),
		"nats":    testkit.NATS,
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testkit.Scripts(t)
}
