//go:build !unix

package testkit

// Freeze is only possible on Unix.
func (p *Process) Freeze() { p.t.Helper(); p.t.Fatal("this system cannot freeze a process") }

// Thaw is only possible on Unix.
func (p *Process) Thaw() { p.Freeze() }
