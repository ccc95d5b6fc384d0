package config

// access is the access that a process needs to a folder.
type access int

const (
	read access = iota
	write
)
