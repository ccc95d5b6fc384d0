package watch_test

import "os"

// killSelf ends this process without any cleaning up.
func killSelf() { os.Exit(9) }
