package fleet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nuid"
)

// On Linux, the ID of a member identifies its process: it contains the machineID, the process ID
// and the start time of the process. The start time distinguishes the process from a later one with
// the same process ID. After a crash, a worker that was restarted in the same scope (machineID)
// therefore knows that its predecessor is dead. It can become the leader at once (TryLead), and it
// takes over the predecessor's claims as soon as the predecessor's key has expired (Gone).

// memberships counts the memberships of this process, because each needs an ID of its own.
var memberships atomic.Uint64

// newMemberID returns an ID that no other member ever has, and that can be part of a key.
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

// processEnded reports whether the process of a member has definitely ended: it has the machineID
// of this process, and its process ID is unused or reused. For any other member it returns false.
func processEnded(memberID string) bool {
	parts := strings.Split(memberID, "-")
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
