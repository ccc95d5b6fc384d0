package watch_test

// syncDisk has no counterpart here.
func syncDisk() {}
