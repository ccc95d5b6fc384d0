// Command worker has WildFire judge what jobs submit, and publishes the verdicts.
package main

import (
	"os"

	"backburn/internal/daemons"
)

func main() { os.Exit(daemons.Main(daemons.Worker())) }
