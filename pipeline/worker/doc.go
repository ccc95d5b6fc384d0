// Package worker processes jobs: it fetches them from the queue, finds and hashes their contents,
// and carries out the steps that pipeline.Decide returns, uploads included.
//
// A job's way through the package, in the order in which to read it:
//
//	fetch.go     gets jobs of every lane, as many as the window has room for (window.go)
//	process.go   holds a delivery, and acks or naks its message in the end (delivery.go, lease.go)
//	execute.go   prepares the job, then decides and acts until it is concluded
//	content.go   finds and hashes the contents (read.go, own.go); refuse.go if that fails
//	load.go      reads the records of the job and its sample
//	upload.go    waits for a turn, claims the sample, sends it (turns.go, slots.go)
//	conclude.go  writes what became of the job
//
// The parts of a Worker share what is in shared.go. An examiner reads contents, and an uploader
// sends them.
//
// Each delivery has a goroutine of its own, which alone uses it. What the goroutines share is safe
// for concurrent use: window, leases, examiner, uploader. Upload slots are shared between the
// sources of a lane. A source whose contents this process cannot reach is left to other workers
// (sources.go).
//
// It guarantees that a job's message is acknowledged only after the job is done, or waits in the
// ledger. When it is stopped it fetches no more jobs, and lets uploads in progress continue for the
// shutdown timeout.
package worker
