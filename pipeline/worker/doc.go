// Package worker is one process's part of the work: it fetches jobs, finds and hashes their
// contents, and does what pipeline.Decide says is next, the upload included (execute.go,
// upload.go).
//
// It holds no more jobs than there is room for (window.go), gives the sources of a lane their turns
// (slots.go), and keeps the jobs that it holds from being delivered to others (lease.go). A source
// whose contents this process cannot reach is left to other workers (sources.go).
//
// It guarantees that a job's message is acknowledged only after the job is done, or waits in the
// ledger. When it is stopped it fetches no more, and lets uploads in progress go on for the
// shutdown timeout.
package worker
