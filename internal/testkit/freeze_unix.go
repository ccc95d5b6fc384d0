//go:build unix

package testkit

import "syscall"

// Freeze stops a process without its knowledge, as a paused virtual machine would. Thaw continues
// it.
func (p *Process) Freeze() { p.t.Helper(); p.Signal(syscall.SIGSTOP) }

// Thaw continues a frozen process.
func (p *Process) Thaw() { p.t.Helper(); p.Signal(syscall.SIGCONT) }
