// Package sink delivers events to receivers that do not read NATS: a webhook, a file, or a syslog
// server.
//
// A sink is an ordinary consumer of the event stream, with its own durable ("sink-<name>"), so it
// resumes where it stopped. It delivers each event at least once, in stream order, one at a time. A
// slow sink delays neither other consumers nor the pipeline.
//
// What happens after a failed delivery depends on its cause ([Fault]). If the receiver is
// unavailable or something is misconfigured, the sink retries for as long as the stream keeps the
// event. If the receiver rejects one particular event, the event goes to the dead-letter file; it
// is on the disk before the sink continues. [Replay] delivers the dead letters again, or all events
// of the stream since a given time.
package sink
