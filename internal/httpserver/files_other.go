//go:build !unix

package httpserver

// openFiles is how many files the process may open; 0 where that is not known.
func openFiles() uint64 { return 0 }
