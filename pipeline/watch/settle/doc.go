// Package settle decides whether a file is complete. It does no I/O, and has no clock and no
// goroutines: times and file states are passed in.
//
// A file is complete when it has not changed for long enough. [Rules] defines how long that is.
// [Pending] is the set of reported names, each with the history of its file. The owner of a Pending
// fetches the next name that is due, looks at the file, and reports the outcome.
//
// Whether a process still writes to a file is not decided here: only the kernel knows.
package settle
