// Package history is a bounded summary, in memory, of the events that Backburn published: what
// happened in each of the last 24 hours, and the newest events in a form that is searched in a few
// milliseconds per 10,000.
//
// A [Book] is the summary, a value that knows no NATS. A [Log] fills one from the stream RESULTS
// while somebody looks at it, and gives the memory back an hour after nobody does. What a Book
// holds is made of the stream alone: it is rebuilt at every start, and nothing depends on it.
//
// It is bounded by the number of events and by the bytes of their text ([Limits]). The oldest
// events leave first, 4,096 at a time, and every answer says from when on events are there.
package history
