package watch

// limits describes the system's limits, and how to raise them.
type limits struct{ detail, fix string }
