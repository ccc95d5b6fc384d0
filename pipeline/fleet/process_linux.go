package fleet

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// thisMachine returns the machineID of this boot and this PID namespace (random(4),
// pid_namespaces(7)).
var thisMachine = sync.OnceValues(func() (string, error) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	pidNamespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return "", err
	}
	return machineID(string(boot), pidNamespace), nil
})

// processExists reports whether a process ID is in use. It asks kill(2), which also answers for
// processes of other users.
func processExists(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}

// processStartTime returns when a process started, in clock ticks since the boot: starttime of
// proc_pid_stat(5), the 20th field after the name, which may contain any character.
func processStartTime(pid int) (uint64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has too few fields", pid)
	}
	return strconv.ParseUint(string(fields[19]), 10, 64)
}
