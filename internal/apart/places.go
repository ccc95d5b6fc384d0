package apart

// Places answers questions about paths, by the mounts of the moment in which it was made.
type Places struct{ mounts []mount }

// Now returns the Places of this moment.
func Now() Places { return Places{mounts: mounts()} }
