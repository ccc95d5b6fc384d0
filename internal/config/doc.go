// Package config reads the one TOML file that every Backburn binary shares.
//
// # Who owns a key
//
// Each key belongs to the package that uses it: the field of that package's struct carries the key,
// the unit and the documentation as tags, its Default function the default, and its method Check
// the rule. This package composes the structs ([Config]), applies the file to their defaults, and
// collects the problems of all owners. The example, the reference and the output of Show are
// generated from the same structs. So a new key is a field with its tags, its default and its rule,
// and nothing else; "make config" writes the documents.
//
// # What it guarantees
//
// Reading is strict: an unknown key, a wrong type or unit, an unset environment variable or a
// combination that cannot work is a [Problem] that names the key, the place in the file and
// what was expected, and all problems are reported together ([Problems]). Every process asks
// [Config.Validate] before it touches anything, and so does "config check", with the parts
// that the process runs: they cannot differ.
//
// In a string, ${NAME} is replaced from the environment and $$ stands for one dollar sign; any
// other dollar sign stands for itself. Secrets may be given as exactly one ${NAME} or as the
// name of a file, never in the text of the configuration itself. No message of this package
// repeats the value of a variable, or what may be secret in an address.
//
// # What it does not do
//
// The contents of secret files are read by package auth, not here. Relative paths count from
// the working directory of the process.
package config

//go:generate go test -run TestGeneratedFiles . -update
