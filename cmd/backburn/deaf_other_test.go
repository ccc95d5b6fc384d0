//go:build !linux

package main

// deaf runs the program without a sandbox, which this system does not have.
func deaf() { main() }
