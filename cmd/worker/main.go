// Command worker has WildFire judge the files and links of jobs, and publishes the verdicts.
package main

import (
	"os"

	"backburn/internal/daemons"
)

func main() { os.Exit(daemons.Main(daemons.Worker())) }
