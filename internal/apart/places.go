package apart

// Places compares paths, using the mounts at the time it was created.
type Places struct{ mounts []mount }

// Now returns Places with the current mounts.
func Now() Places { return Places{mounts: mounts()} }
