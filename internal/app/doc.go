// Package app puts the parts of Backburn together that run in one process beside a NATS
// server: the watchers of the folders, the worker, the token, and the HTTP side. The
// binaries differ in which of them they ask for.
//
// Parts start in the order in which they need each other, and stop in the reverse one: first
// nothing new is taken in, then work in hand is finished or handed back, then the
// connection closes.
package app
