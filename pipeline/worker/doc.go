// Package worker is one process's part of the work: it fetches jobs, finds and hashes their
// contents (content.go), and does what pipeline.Decide says is next (execute.go), the upload
// included (upload.go).
//
// It limits the jobs that it holds (window.go), shares upload slots between the sources of a lane
// (slots.go), and extends the leases of its jobs so that no other worker gets them (lease.go). A
// source whose contents this process cannot reach is left to other workers (sources.go).
//
// It guarantees that a job's message is acknowledged only after the job is done, or waits in the
// ledger. When it is stopped it fetches no more jobs, and lets uploads in progress continue for the
// shutdown timeout.
package worker
