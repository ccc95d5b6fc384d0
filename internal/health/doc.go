// Package health keeps the state of all parts of a process: each watched folder, the connection to
// NATS, the queue, the services it calls, its disk.
//
// The code that does the work of a part reports to it: [Part.OK] at every success, [Part.Fault] at
// every fault. Parts without work of their own are checked by [Registry.Func] on every read, or by
// [Registry.Probe] at intervals. The registry is the source of readiness, the status, the metric
// backburn_part_state, the fleet's list of members and the log lines about parts.
//
// A part is ok again at its next success, or when its fault expires. A fault of a single file
// belongs to that file: the part may carry it as a note, and stays ok.
//
// The package decides nothing about work. Of Backburn's packages it imports only proxy, so that
// every package can use it.
package health
