//go:build !linux

package apart

// mounts lists nothing: device and inode have to do.
func mounts() []mount { return nil }
