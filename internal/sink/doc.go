// Package sink hands events on to what does not read NATS: a webhook, or a file of JSON lines.
//
// A sink is a consumer of the stream of events like any other, with a durable of its own
// ("sink-<name>"), so that it goes on where it stopped. Each event is handed on at least once, in the
// order of the stream, one at a time: the CloudEvent's id is the same each time. What a webhook
// does not take after its tries is put into a file of dead letters, on the disk before the event
// is given up. A sink holds up no other consumer, and nothing of the pipeline.
package sink
