// Package readable holds tests, and nothing else, of what a reader of the source relies on: one
// assignment and one field on a line, comments that fit beside a diff, no retired words (see
// docs/glossary.md), and durations with their unit in logs.
package readable
