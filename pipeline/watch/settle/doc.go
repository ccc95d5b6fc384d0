// Package settle decides whether a file is complete. It does no I/O, knows no clock and starts
// nothing: times and what the file system said come in as values.
//
// A file is complete when it was left alone for long enough. [Rules] says how long that is for
// which file. [Pending] is the set of names that wait, each with what was seen of it; whoever
// owns one asks it for the next name that is due, looks at the file, and says what came of it.
//
// Whether somebody still writes to a file is not decided here: the kernel knows that.
package settle
