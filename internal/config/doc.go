// Package config reads the one TOML file that every Backburn binary shares.
//
// Reading is strict: an unknown key, a wrong type or unit, an unset environment variable
// or a combination that cannot work is a Problem that names the key, the place in the
// file and what was expected, and all problems are reported together (Problems). Every
// key has a default that works, except credentials; Default gives them all.
//
// In a string, ${NAME} is replaced from the environment and $$ stands for one dollar
// sign; any other dollar sign stands for itself. Secrets may be given as exactly one
// ${NAME} or as the name of a file, never in the text of the configuration itself, and
// no message of this package repeats the value of a variable.
//
// Relative paths count from the working directory of the process.
//
// Parsing looks at nothing but the text and the environment. Whether the files and
// folders are there, and private enough, is for CheckFiles; whether a profile has the
// credentials of its kind is for CheckProfile. The contents of secret files are read by
// package auth, not here.
package config
