//go:build !linux

package main

// runWithoutListen runs the program without a sandbox, which this system does not have.
func runWithoutListen() { main() }
