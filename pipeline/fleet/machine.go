package fleet

import (
	"crypto/sha256"
	"fmt"
)

// machineID names what process numbers are unique in: a boot of a machine, and in it a container.
func machineID(boot, pids string) string {
	sum := sha256.Sum256([]byte(boot + "\n" + pids))
	return fmt.Sprintf("%x", sum[:5])
}
