// Package beside reads descriptions: JSON files that producers write beside a file, with the file's
// real name and metadata for its job.
//
// Suricata's file-store writes <sha256>.<seconds>.<number>.json beside <sha256>, one each time it
// sees the contents. Other producers write <name>.json beside <name>, in the format that
// [Kind.Parse] expects for [JSON].
//
// The package works on names and texts and opens no files. Texts are hostile input: whatever they
// contain, the result respects the limits of a job.
package beside
