// Package sink hands events on to what does not read NATS: a webhook, a file, or a syslog server.
//
// A sink is a consumer of the stream of events like any other, with a durable of its own
// ("sink-<name>"), so that it goes on where it stopped. Each event is handed on at least once, in
// the order of the stream, one at a time. A sink holds up no other consumer, and nothing of the
// pipeline.
//
// Why an event was not taken decides what follows ([Fault]): a receiver that is away, or that does
// not take anything as it is configured, is tried again for as long as the stream keeps the event.
// Only what the receiver says of one event ends in the file of dead letters, on the disk before the
// event is given up. [Replay] hands on again what is there, or what the stream has from a time on.
package sink
