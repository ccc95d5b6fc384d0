// Command watcher claims the files of quarantine folders and publishes them as jobs.
package main

import (
	"os"

	"backburn/internal/daemons"
)

func main() { os.Exit(daemons.Main(daemons.Watcher())) }
