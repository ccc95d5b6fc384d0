package queue

import (
	"backburn/pipeline"
	"backburn/results"
)

// The ledger is one stream, of which each subject keeps its last message alone:
//
//	<prefix>.ledger.sample.<sample key>     what is known about contents: a pipeline.Sample
//	<prefix>.ledger.job.<source>.<job key>  what became of a job: accepted, waiting, then done
//
// A change names the sequence that it replaces, so of many writers one succeeds. Finished records
// expire with the results; waiting ones stay.

// JobState is the state of a job in the ledger.
type JobState string

// The states of a job. A job that no worker has read yet has no record.
const (
	JobAccepted JobState = "accepted" // submitted over HTTP, with the hash of its contents
	JobWaiting  JobState = "waiting"  // it waits for its sample; the record holds the whole job with all that was learned
	JobDone     JobState = "done"     // it has its one final event
)

// Headers of the ledger's records of jobs.
const (
	headerState    = "Backburn-State"
	headerSample   = "Backburn-Sample"   // the sample's key
	headerPriority = "Backburn-Priority" // waiting: the job's priority
	headerPending  = "Backburn-Pending"  // waiting: since when WildFire has had the sample, in ns since 1970
	headerParked   = "Backburn-Parked"   // waiting: the budget for which it waits
	headerBy       = "Backburn-By"       // done: the term of the leader that ended it
)

// JobEntry is a job's record.
type JobEntry struct {
	Revision uint64 // 0: there is none
	State    JobState
	Sample   string        // the sample's key
	Event    results.Event // of JobDone
	Message  *Message      // of JobWaiting
}

// SampleEntry is a sample's record.
type SampleEntry struct {
	Key      string
	Revision uint64 // 0: there is none
	pipeline.Sample
}

// messageID is the ID of an event on its stream. It includes the source, because two sources may
// use the same job ID.
func messageID(ev results.Event) string { return ev.Data.Source + "." + ev.ID() }
