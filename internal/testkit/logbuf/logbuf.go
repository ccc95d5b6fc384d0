// Package logbuf keeps what is logged, for tests that read it. It imports none of our packages:
// every test may use it.
package logbuf

import (
	"bytes"
	"sync"
)

// Buffer is a log. The zero value is an empty one. It is safe for concurrent use.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.b.Write(p)
}

// String is all that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()

	return b.b.String()
}
