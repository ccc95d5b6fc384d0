// Package poller asks WildFire for verdicts on behalf of a whole fleet: what workers ask before
// they upload, and what jobs wait for, in one call of up to 500 hashes, as often as the query
// budget allows. It ends the jobs whose samples are decided, and sends those back to the workers
// that need one.
//
// One worker of the fleet leads and runs it. All that it knows can be read again from the ledger by
// the next leader; nothing is lost with it.
package poller
