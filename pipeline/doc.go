// Package pipeline brings every job that is handed in to exactly one final event, for one
// process or thirty, on NATS JetStream.
//
// # The way of a file
//
//	watch, gateway ─► JOBS ─► Worker ─┬─ verdict known here ──────────────► RESULTS (verdict)
//	                   ▲              ├─ known to WildFire (ask) ─────────►    ▲      │
//	                   │              ├─ same contents under way ─► WAITING    │      ▼
//	                   │              └─ unknown ─► upload ───────► WAITING    │   Outcomes
//	                   │                                 │            │        │
//	                   └── given back, resubmitted ──────┴──── batcher┴────────┘
//	                                                     WildFire won't ─► DEAD and RESULTS (failed)
//
// A job comes in as a message (Publisher; intake.go judges what gateways send) and is fetched
// by a Worker (worker.go) from the queue of its lane and source (lanes.go), never more than it
// has room for in hand (room.go, delivery.go). handle.go is its way from there: what its contents
// are (content.go), what is known about them (sample.go), and, where that is nothing, the question to WildFire (ask.go) and the upload
// (upload.go). A job whose verdict is not there yet moves to WAITING. One worker of the
// fleet is the batcher: it knows what waits (waitlist.go), when to ask again (schedule.go), asks about
// up to 500 hashes in one call (asking.go) as the budget allows (pacer.go), and ends what is
// decided (look.go). settle.go writes the one final event of a job. tracing.go
// makes the spans of all that, where somebody wants them.
//
// Everything a fleet must agree on is a key under compare-and-set: who uploads a sample
// (sample.go), who is alive (fleet.go), what is left of the day's budgets (quota.go), what is
// paused (pause.go). Classify alone decides what an error means.
//
// # What it guarantees
//
// A job that was acknowledged to its publisher ends in one final event, whatever process is
// killed when: every step writes its effect, waits for the acknowledgement, and only then
// gives up the message that caused it, and every step may be repeated. The same contents
// are uploaded once, unless a worker dies while it uploads and WildFire does not know of
// it afterwards. A source that floods a lane delays the others in it by their fair share: it
// has a queue of its own, may not fill a worker's hand, and takes turns at the upload slots
// (slots.go). Waiting, for budget, rate, a token, or the end of a pause, is never an attempt.
//
// # What it does not
//
// Events are delivered at least once: their ids are the same each time. Contents by
// reference have to stay where they are until the final event.
package pipeline
