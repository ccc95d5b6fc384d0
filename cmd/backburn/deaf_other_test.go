//go:build !linux

package main

// deaf is the program; there is no sandbox for it here.
func deaf() { main() }
