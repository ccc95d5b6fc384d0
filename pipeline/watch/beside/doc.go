// Package beside reads what producers write beside a file: what it is called where it comes from,
// and metadata for its job.
//
// Suricata's file-store writes <sha256>.<seconds>.<number>.json beside <sha256>, one for each time
// that the contents were seen. Other producers write <name>.json beside <name>, in the form of
// [Parse] with [JSON].
//
// It knows names and texts, and opens nothing. Texts are hostile: what comes out of them fits into
// a job, whatever they say.
package beside
