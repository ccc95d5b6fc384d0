// Package worker processes jobs: it fetches them from the queue, finds and hashes their contents,
// and carries out the steps that pipeline.Decide returns, uploads included.
//
// A job's way through the package, in the order in which to read it:
//
//	fetch.go     gets jobs of every lane, as many as the window has room for (window.go)
//	process.go   runs a delivery, and finally acks or naks its message (delivery.go, lease.go)
//	execute.go   prepares the job, then decides and acts until it is concluded
//	content.go   finds and hashes the contents (read.go, own.go)
//	refuse.go    ends a job whose contents cannot be examined, or redelivers it (failed_reads.go)
//	load.go      reads the records of the job and its sample
//	upload.go    waits for a turn, claims the sample, sends it (turns.go, slots.go)
//	conclude.go  writes the outcome of the job
//
// The examiner of a Worker reads contents, and its uploader sends them. All parts of a Worker share
// the fields in shared.go.
//
// Each delivery has its own goroutine. No other goroutine uses the delivery, except that leases
// uses its message. The windows (one for each lane), leases, examiner and uploader are shared by
// all goroutines and safe for concurrent use. In each lane, the sources take turns at the upload
// slots (slots.go). A source whose contents this process cannot reach is left to other workers
// (sources.go).
//
// A job's message is acknowledged only after the job is done, or is waiting or parked in the
// ledger. There is one exception: a job whose ID was used before for other contents is only kept as
// a dead letter (load.go). A stopping worker fetches no more jobs, and lets uploads in progress
// continue for the shutdown timeout.
package worker
