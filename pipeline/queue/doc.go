// Package queue keeps all data of the pipeline on NATS JetStream: the streams JOBS, LEDGER, RESULTS
// and DEAD, the control bucket with the shared state of a fleet, and the object bucket for
// contents. Topology.Streams is the only definition of the streams, with their subjects and limits.
//
// Whatever the package reports as written is as durable as the server's disk. Messages of many
// callers are sent together if that costs the server fewer syncs (committer.go), and each caller
// gets the outcome of its own messages. Records of the ledger change by compare-and-set
// (ledger.go), so of many writers one succeeds. A job gets one final event, however often Finish is
// repeated (events.go).
//
// A [Queue] consists of parts: [Streams] creates, checks and repairs the streams and buckets,
// [Publisher] is for those who submit jobs, [Lanes] and [Jobs] are for workers that fetch and
// requeue them, [Ledger] has what is known of samples and jobs, [Events] ends jobs and publishes,
// [Outcomes] delivers final events, [DeadLetters] has the failed jobs, [Objects] the contents, and
// [Reports] WildFire's documents. [Queue.Status], [Queue.Trace] and [Queue.Unknown] read the state
// and change nothing.
//
// The package decides nothing about jobs: that is the task of package pipeline.
package queue
