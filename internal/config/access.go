package config

// access is what a process must be able to do with a folder.
type access int

const (
	read access = iota
	write
)
