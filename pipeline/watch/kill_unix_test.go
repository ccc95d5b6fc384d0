//go:build unix

package watch_test

import (
	"os"
	"syscall"
)

// killSelf ends this process as a power failure would.
func killSelf() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
