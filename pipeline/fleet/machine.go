package fleet

import (
	"crypto/sha256"
	"fmt"
)

// machineID names the scope in which process IDs are unique: a boot of a machine and, within it, a
// container.
func machineID(boot, pidNamespace string) string {
	sum := sha256.Sum256([]byte(boot + "\n" + pidNamespace))
	return fmt.Sprintf("%x", sum[:5])
}
