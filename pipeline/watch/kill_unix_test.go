//go:build unix

package watch_test

import (
	"os"
	"syscall"
)

// killSelf kills this process, like a power failure.
func killSelf() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}
