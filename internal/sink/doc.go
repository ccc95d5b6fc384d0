// Package sink delivers events to receivers that do not read NATS: a webhook, a file, or a syslog
// server.
//
// A sink reads the event stream with its own durable consumer ("sink-<name>"), so it resumes where
// it stopped. It delivers each event at least once, in stream order, one at a time. A slow sink
// delays neither other consumers nor the pipeline.
//
// What happens after a failed delivery depends on its cause ([Fault]). If the receiver is
// unavailable, or if the receiver or the sink is misconfigured, the sink retries for as long as the
// stream keeps the event. If the receiver rejects one event, the sink writes the event to the
// dead-letter file and syncs it before it continues. [Replay] delivers dead letters again, or
// events of the stream.
package sink
