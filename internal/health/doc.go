// Package health is the one place in a process that knows how its parts are: each watched folder,
// the connection to NATS, the queue, the services it calls, its disk.
//
// Whoever does the work of a part reports to it: [Part.OK] at every success, [Part.Fault] at every
// fault. What does no work of its own is asked: by [Registry.Func] whenever somebody looks, or by
// [Registry.Probe] at intervals. Readiness, the status, the metric backburn_part_state, the fleet's
// list of members and the log lines about parts are all made from the registry.
//
// A part that works again is well at its next success. A fault of a single file belongs to that
// file: a part may carry it as a note, and stays ok.
//
// The package decides nothing about work, and imports nothing of Backburn's, so that everything may
// use it.
package health
