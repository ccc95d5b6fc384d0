// Package readable holds tests, and nothing else, of what a reader of the source relies on: one
// assignment and one field on a line, and comments that fit beside a diff.
package readable
