// Package poller asks WildFire for verdicts on behalf of a whole fleet: for workers before they
// upload, and for jobs that wait. One call asks about up to 500 hashes, as often as the query
// budget allows. The poller ends jobs whose samples are decided, and requeues jobs that need a
// worker.
//
// Its parts are the calls to WildFire (ask.go), the samples that jobs wait for (finish.go),
// verdicts that WildFire changes later (changed.go), and reports (reports.go). The Poller leads and
// listens.
//
// One worker of the fleet, the leader, runs it. The next leader can read all its state from the
// ledger, so nothing is lost with it.
package poller
