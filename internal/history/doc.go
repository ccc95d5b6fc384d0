// Package history is a bounded summary, in memory, of the events that Backburn published: what
// happened in each of the last 24 hours, and the newest events in a form that can be searched in a
// few milliseconds per 10,000 events.
//
// A [Summary] does not depend on NATS. A [Log] fills a Summary from the stream RESULTS while it is
// used, and frees it an hour after the last use. A Summary is built only from the stream, so it is
// rebuilt at every start, and nothing else depends on it.
//
// It is bounded by the number of events and by the bytes of their text ([Limits]). The oldest
// events are dropped first, 4,096 at a time. An [Overview] and a [SearchResult] have the time of
// the oldest event.
package history
