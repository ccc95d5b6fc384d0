// Package pipeline decides what happens to a job. Every submitted file or link ends in exactly one
// final event: a verdict, or a failure with a reason.
//
// This package has the values and the decisions, without NATS, HTTP or files. The packages below it
// carry them out:
//
//	pipeline/watch    turns the files of a folder into jobs
//	pipeline/queue    keeps everything on JetStream: JOBS, LEDGER, RESULTS, DEAD
//	pipeline/worker   fetches jobs, reads their contents, uploads
//	pipeline/poller   asks WildFire for verdicts, for the whole fleet; one worker runs it
//	pipeline/fleet    what all processes agree on: members, leader, pauses, quota
//	pipeline/span     the OpenTelemetry spans of all these
//
// # The path of a file
//
//	watch, gateway ─► JOBS ─► worker ─ Decide ─┬─ verdict in ledger ► LEDGER: job done ─► RESULTS
//	                   ▲                       ├─ known to WildFire ► LEDGER: job done ─► RESULTS
//	                   │                       ├─ being uploaded ──► LEDGER: job waiting
//	                   │                       └─ unknown ─► upload ► LEDGER: sample pending,
//	                   │                                                      job waiting
//	                   └─ requeued ◄─ poller: asks, ends jobs with a verdict ─────────► RESULTS
//
// Step by step:
//
//  1. A watcher or a gateway publishes a [Job] on JOBS. Once that is acknowledged, Backburn is
//     responsible for the job.
//  2. A worker fetches it and hashes its contents, unless the watcher that claimed the file has
//     hashed it. No other publisher's hash is trusted.
//  3. The worker reads two records of the ledger: the [Sample], which is what is known about these
//     contents, and the job's own.
//  4. [Decide] returns the next step, given the sample, the job and what was just learned. The
//     worker carries the step out, and calls Decide again with what it learned, until the job is
//     done, waits, is parked, or has to be retried later.
//  5. A job that waits for a verdict is kept in its record of the ledger, with its contents if they
//     came in the message. The poller asks about up to 500 samples at once, when the [Schedule] and
//     the budget allow. When a sample has a verdict, the poller ends its jobs.
//  6. The final event is written to the ledger first, then published on RESULTS.
//
// Only [Classify] decides what the outcome of a call to WildFire means. [Refusals] finds out
// whether WildFire refuses one file or all of them, after an answer such as 403.
//
// # What it guarantees
//
// A job that was acknowledged to its publisher ends in one final event, even if any process is
// killed at any time. There is one exception: if a source uses the ID of an earlier job for other
// contents, the second job only becomes a dead letter. Every step writes its effect, waits for the
// acknowledgment, and only then acknowledges the message that caused it. Every step may be
// repeated: a repeated event has the same ID, and records change by compare-and-set.
//
// A job's identity is its source and its ID ([Ref]). No source can suppress or end another's job.
//
// Of all jobs with the same contents, one uploads them. The upload is repeated only if it failed,
// if its worker died and WildFire does not know the contents afterwards, or if WildFire lost them
// or could not analyze them. Later jobs may upload them again: after the verdict or the refusal has
// expired, after a replay has removed the refusal, under a file name with another extension than
// the refused one, or after jobs have failed because there was no verdict in time. Waiting for a
// budget, a slot, a token or the end of a pause never counts as an attempt.
//
// # What it does not do
//
// Events are delivered at least once; their IDs are the same each time. Contents that are submitted
// by path or object must stay in place until the final event.
package pipeline
