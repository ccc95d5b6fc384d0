// Package resident measures the memory of processes.
package resident

import (
	"fmt"
	"os"
)

// Bytes returns how much memory a process has in RAM, in bytes; 0 if it is gone. It needs /proc.
func Bytes(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)) // in pages, see proc_pid_statm(5)
	if err != nil {
		return 0
	}

	var total, pages int64
	if _, err := fmt.Sscan(string(text), &total, &pages); err != nil {
		return 0
	}

	return pages * int64(os.Getpagesize())
}
