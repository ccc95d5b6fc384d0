package fleet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nuid"
)

// A worker's ID identifies its process if the system allows it: the boot of the machine, the
// process ID and its start time, so that a reused process ID is not mistaken for it. After a crash,
// the restarted worker knows at once that the previous one is dead, and need not wait for its
// lease.

// memberships counts the memberships of this process.
var memberships atomic.Uint64

// newMemberID returns an id that no other worker has, ever, and that can be part of a key.
func newMemberID() string {
	machine, err := thisMachine()
	if err != nil {
		return nuid.Next()
	}
	began, err := processStartTime(os.Getpid())
	if err != nil {
		return nuid.Next()
	}
	return fmt.Sprintf("%s-%d-%s-%d", machine, os.Getpid(), strconv.FormatUint(began, 36), memberships.Add(1))
}

// processEnded reports whether the process of a worker has definitely ended: it ran on this
// machine, and its process ID is unused or reused. It returns false for other machines.
func processEnded(worker string) bool {
	parts := strings.Split(worker, "-")
	if len(parts) != 4 {
		return false
	}
	machine, err := thisMachine()
	pid, perr := strconv.Atoi(parts[1])
	if err != nil || perr != nil || parts[0] != machine {
		return false
	}
	if !processExists(pid) {
		return true
	}
	began, err := processStartTime(pid)
	return err == nil && strconv.FormatUint(began, 36) != parts[2]
}
