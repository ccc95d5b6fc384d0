// Package local listens for other programs on this machine: on a unix socket or a loopback port.
//
// A [Listener] accepts no more connections at a time than its limit; others wait in the backlog of
// the system. It knows every connection, so that whoever serves it can close them all and wait
// until they are gone. The socket that a process left behind when it was killed is replaced; that
// of a live process, and anything that is no socket, is left alone.
//
// It authenticates nobody: the mode of the socket says who may connect, and a loopback port is open
// to every user of the machine.
package local
