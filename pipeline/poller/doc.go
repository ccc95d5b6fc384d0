// Package poller asks WildFire for verdicts on behalf of a whole fleet: for workers before they
// upload, and for jobs that wait. One call asks about up to 500 hashes, as often as the query
// budget allows. The poller ends jobs whose samples have a verdict, and requeues jobs that need a
// worker.
//
// One worker of the fleet, the leader, runs it. If the leader dies, the next one reads the state
// from the ledger, and workers repeat their questions, so no job is forgotten. If the fleet is
// without a leader for long, rechecks and late verdicts can be lost (maxLeaderGap), and reports
// (reportLookBack).
//
// # How its parts work together
//
// A Poller receives messages while it leads (poller.go, listen.go). Messages change two lists: the
// questions of workers, and the samples that jobs wait for, each with the time at which it is due
// (questions.go, waitlist.go, schedule.go). The records of samples change two more: the samples to
// ask about again, and the reports to fetch or publish (recheck.go, reportlist.go). Three loops,
// each woken through a channel, take work from the four lists:
//
//	check.go    takes due samples: pending ones go to ask.go, the others are checked
//	ask.go      makes the calls; call.go collects what they ask about
//	reports.go  fetches and publishes reports (reportfetcher.go, documents.go)
//
// pipeline.Decide decides what follows from a sample's record; finish.go and requeue.go carry it
// out. The samples that jobs wait for are handled concurrently, but each by only one goroutine at a
// time. Meanwhile, its entry in the list is marked busy. The goroutine returns a nextCheck, which
// says when the sample is due again (finisher.go). changed.go handles verdicts that arrive or
// change after jobs have ended. published.go keeps the published mark, a position in the ledger: if
// a leader recorded the end of a job before that position, the job's final event has been
// published.
//
// A worker asks the poller through a Client (client.go).
package poller
