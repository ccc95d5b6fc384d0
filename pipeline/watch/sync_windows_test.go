package watch_test

// syncDisk does nothing on this system.
func syncDisk() {}
