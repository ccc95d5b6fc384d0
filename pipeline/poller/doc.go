// Package poller asks WildFire for verdicts on behalf of a whole fleet: for workers before they
// upload, and for jobs that wait. One call asks about up to 500 hashes, as often as the query
// budget allows. The poller ends jobs whose samples are decided, and requeues jobs that need a
// worker.
//
// One worker of the fleet, the leader, runs it. The next leader can read all its state from the
// ledger, so nothing is lost with it.
//
// # How its parts work together
//
// A Poller leads and listens (poller.go, listen.go). What it hears only changes two lists: the
// questions of workers, and the samples that jobs wait for, with the times at which these are due
// (questions.go, waitlist.go, schedule.go). Three loops take work from the lists, and each wakes up
// by a channel:
//
//	check.go    takes due samples: pending ones become questions, the others are checked
//	ask.go      makes the calls; call.go collects what they ask about
//	reports.go  fetches and publishes reports (reportfetcher.go, documents.go)
//
// What follows from a sample's record is decided by pipeline.Decide, and carried out by finish.go
// and requeue.go, for many samples at once but for each sample by one goroutine: its entry is busy
// meanwhile, and goes back into the schedule with its nextCheck (finisher.go). changed.go is about
// verdicts that WildFire changes later.
//
// Client is the workers' side (client.go).
package poller
