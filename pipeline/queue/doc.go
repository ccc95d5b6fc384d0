// Package queue keeps everything on NATS JetStream: the streams JOBS, LEDGER, RESULTS and DEAD, the
// bucket in which a fleet agrees, and the object bucket for contents. Topology.Streams is the one
// place that says which streams there are, on which subjects, and within which bounds.
//
// It guarantees that what it reported as written is durable as far as the server's own disk is.
// Messages of many callers go out together where that costs the server fewer syncs (committer.go),
// and each caller gets the outcome of its own. Records of the ledger change by compare-and-set
// (ledger.go), so of many writers one succeeds. A job gets one final event, however often Finish is
// repeated (outcome.go).
//
// It decides nothing about jobs: that is package pipeline's.
package queue
