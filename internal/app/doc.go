// Package app combines the parts of Backburn in one process: the watchers of the folders, the
// worker, the token and the HTTP listeners. Each binary selects the parts that it needs.
//
// Parts start in the order of their dependencies, and stop in reverse order: first the intake ends,
// then work in progress is finished or returned to the queue, then the connection is closed.
package app
