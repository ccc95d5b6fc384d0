//go:build !linux

package watch_test

// holdLease has no leases to hold here.
func holdLease(string) {}
