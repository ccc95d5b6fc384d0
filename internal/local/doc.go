// Package local listens for other programs on this machine, on a Unix socket or a loopback port.
//
// A [Listener] limits the number of open connections; further ones wait in the system's backlog. It
// tracks every connection, so that the server can close all of them and wait until they are gone. A
// socket left behind by a killed process is replaced. The socket of a live process, and any other
// file at the path, is left alone.
//
// The package does not authenticate clients: the mode of the socket determines who may connect, and
// a loopback port is open to every user of the machine.
package local
