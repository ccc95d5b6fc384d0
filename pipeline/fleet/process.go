package fleet

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nuid"
)

// A worker's id tells which process it is, where the system can tell: the machine until its next
// boot, the process, and when that began, so that a number which was given out again is not
// taken for it. Whoever restarts a worker after a crash then knows at once that the one before is
// dead, and need not wait for its lease.

// workers counts those of this process.
var workers atomic.Uint64

// newWorkerID returns an id that no other worker has, ever, and that can be part of a key.
func newWorkerID() string {
	machine, err := thisMachine()
	if err != nil {
		return nuid.Next()
	}
	began, err := processBegan(os.Getpid())
	if err != nil {
		return nuid.Next()
	}
	return fmt.Sprintf("%s-%d-%s-%d", machine, os.Getpid(), strconv.FormatUint(began, 36), workers.Add(1))
}

// dead reports whether the process of a worker is certainly no more: it ran on this machine,
// and its number is nobody's, or another's. It knows nothing of other machines.
func dead(worker string) bool {
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
	began, err := processBegan(pid)
	return err == nil && strconv.FormatUint(began, 36) != parts[2]
}
