// Package config reads the one TOML file that every Backburn binary shares.
//
// # Who owns a key
//
// Each key belongs to the package that uses it: the field of that package's struct carries the key,
// the unit and the documentation as tags, its Default function the default, and its method Check
// the rule. This package composes the structs ([Config]), applies the file to their defaults, and
// collects the problems of all owners. The example, the reference and the output of Show are
// generated from the same structs. So a new key needs only a field with its tags, its default and
// its rule; "make config" writes the documents.
//
// # What it guarantees
//
// Reading is strict: an unknown key, a wrong type or unit, an unset environment variable or an
// impossible combination is a [Problem], with the key, its position in the file and what was
// expected. All problems are reported together ([Problems]). Every process calls [Config.Validate]
// before it touches anything, and "config check" calls it with the parts that the process runs, so
// they cannot differ.
//
// In a string, ${NAME} is replaced by the environment variable and $$ by one dollar sign; any other
// dollar sign stands for itself. A secret is given as exactly one ${NAME} or as the name of a file,
// never in the configuration itself. No message of this package repeats a secret, or the parts of a
// URL that may be secret. A variable is shown by its name, except in the paths of files and
// folders.
//
// # What it does not do
//
// Package auth reads the contents of secret files. Relative paths are relative to the working
// directory of the process.
package config

//go:generate go test -run TestGeneratedFiles . -update
