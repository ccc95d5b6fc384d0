package testkit

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"
	"testing"
)

// alone is a testing.TB for programs that are not tests, with the methods that this package needs.
// The embedded interface is nil, so other methods panic.
type alone struct {
	testing.TB
	ctx    context.Context
	cancel context.CancelFunc
	out    io.Writer

	mu       sync.Mutex
	failed   bool
	cleanups []func()
}

// Alone lets a program that is not a test use this package. It calls run, cleans up, and reports
// whether nothing failed. Logs go to out.
func Alone(ctx context.Context, out io.Writer, run func(t testing.TB)) (ok bool) {
	a := &alone{out: out}
	a.ctx, a.cancel = context.WithCancel(ctx)
	done := make(chan struct{})
	go func() { // FailNow ends the goroutine, as in a test
		defer close(done)
		defer a.cleanUp()
		run(a)
	}()
	<-done

	return !a.Failed()
}

func (a *alone) cleanUp() {
	a.cancel()
	for {
		a.mu.Lock()
		n := len(a.cleanups)
		if n == 0 {
			a.mu.Unlock()
			return
		}

		f := a.cleanups[n-1]
		a.cleanups = a.cleanups[:n-1]
		a.mu.Unlock()
		f()
	}
}

func (a *alone) Helper()                  {}
func (a *alone) Name() string             { return "alone" }
func (a *alone) Context() context.Context { return a.ctx }

func (a *alone) Cleanup(f func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cleanups = append(a.cleanups, f)
}

func (a *alone) TempDir() string {
	dir := must(os.MkdirTemp("", "backburn-"))(a)
	a.Cleanup(func() { _ = os.RemoveAll(dir) })

	return dir
}

func (a *alone) Log(args ...any)                 { fmt.Fprintln(a.out, args...) }
func (a *alone) Logf(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

func (a *alone) Fail() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.failed = true
}

func (a *alone) Failed() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

func (a *alone) FailNow()                          { a.Fail(); runtime.Goexit() }
func (a *alone) Error(args ...any)                 { a.Log(args...); a.Fail() }
func (a *alone) Errorf(format string, args ...any) { a.Logf(format, args...); a.Fail() }
func (a *alone) Fatal(args ...any)                 { a.Log(args...); a.FailNow() }
func (a *alone) Fatalf(format string, args ...any) { a.Logf(format, args...); a.FailNow() }
