package main

import (
	"flag"
	"runtime"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"backburn/internal/testkit"
)

func TestMain(m *testing.M) {
	// Most tests here wait for other processes, so more of them run at once than there are
	// processors, unless -parallel is set.
	if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
		panic(err)
	}

	testscript.Main(m, map[string]func(){
		"backburn":          main,
		"backburn-nolisten": runWithoutListen,
		"backburn-watcher":  main,
		"backburn-worker":   main,
	})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	testkit.Scripts(t)
}
