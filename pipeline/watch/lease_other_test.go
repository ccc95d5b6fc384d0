//go:build !linux

package watch_test

// holdLease does nothing on systems without leases.
func holdLease(string) {}
