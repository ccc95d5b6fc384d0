// Package pipeline says what happens to a job: every file or link that is submitted ends in exactly
// one final event, a verdict or a failure with a reason.
//
// This package holds the values and the decisions. It knows no NATS, no HTTP and no files. The
// packages below it act:
//
//	pipeline/watch    turns the files of a folder into jobs
//	pipeline/queue    keeps everything on JetStream: JOBS, LEDGER, RESULTS, DEAD
//	pipeline/worker   fetches jobs, reads their contents, uploads
//	pipeline/poller   asks WildFire for verdicts, for the whole fleet; one worker runs it
//	pipeline/fleet    what all processes agree on: members, leader, pauses, quota
//	pipeline/span     the OpenTelemetry spans of all these
//
// # The way of a file
//
//		watch, gateway ─► JOBS ─► worker ─ Decide ─┬─ known here ─────────► LEDGER (job done) ─► RESULTS
//		                   ▲                       ├─ known to WildFire ──► LEDGER (job done) ─► RESULTS
//		                   │                       ├─ same contents ──────► LEDGER (job waiting)
//		                   │                       └─ unknown ─► upload ──► LEDGER (sample pending, job waiting)
//		                   └── requeued ◄──── poller: asks, ends what is decided ────────────────► RESULTS
//
//	 1. A watcher or a gateway publishes a [Job] on JOBS. From the acknowledgment on, the job is ours.
//	 2. A worker fetches it and hashes its contents. The publisher's hash is only a claim.
//	 3. The worker reads two records of the ledger: the [Sample], which is what is known about these
//	    contents, and the job's own.
//	 4. [Decide] says what is next, given the sample, the job and what was just learned. The worker does
//	    it, learns something, and asks again. It ends when the job is done, waits, or comes again later.
//	 5. A job that waits for a verdict is a record of the ledger, with its contents if they came in the
//	    message. The poller asks about up to 500 samples at once, when the [Schedule] and the budget
//	    allow, and ends every job whose sample is decided.
//	 6. The final event is written to the ledger first, then published on RESULTS.
//
// [Classify] says what the outcome of a call to WildFire means, and nothing else does. [Refusals]
// finds out whether an answer such as 403 is about one file or about all of them.
//
// # What it guarantees
//
// A job that was acknowledged to its publisher ends in one final event, whichever process is killed
// when. Every step writes its effect, waits for the acknowledgment, and only then gives up the
// message that caused it. Every step may be repeated: IDs are derived, and records change by
// compare-and-set.
//
// A job's identity is its source and its id ([Ref]). No source can suppress or end another's job.
//
// The same contents are uploaded once, unless a worker dies during the upload and WildFire does not
// know the contents afterwards. Waiting for a budget, a turn, a token or the end of a pause never
// counts as an attempt.
//
// # What it does not
//
// Events are delivered at least once; their ids are the same each time. Contents that are submitted
// by path or object must stay in place until the final event.
package pipeline
