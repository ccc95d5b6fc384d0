package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// ErrListen is matched by the error of Listen if the address is not available.
var ErrListen = errors.New("cannot listen on the address")

// Listener accepts connections of this machine. It is safe for concurrent use.
type Listener struct {
	inner       net.Listener
	remove      func()        // removes the socket
	slots       chan struct{} // one for each connection
	closed      chan struct{}
	once        sync.Once
	interrupted atomic.Bool // Interrupt was called

	mu    sync.Mutex
	conns map[*Conn]struct{}
	gone  chan struct{} // closed and replaced when a connection ends
}

// Conn is an accepted connection. Close may be called more than once.
type Conn struct {
	net.Conn
	l    *Listener
	once sync.Once
}

// Listen opens the listener. The caller closes it.
func Listen(cfg Config) (*Listener, error) {
	l := &Listener{
		remove: func() {},
		slots:  make(chan struct{}, cfg.MaxConnections),
		closed: make(chan struct{}),
		conns:  map[*Conn]struct{}{},
		gone:   make(chan struct{}),
	}

	mode, err := fileMode(cfg.Mode)
	if err != nil {
		return nil, fmt.Errorf("mode %q: %w", cfg.Mode, err)
	}
	if path, ok := SocketPath(cfg.Listen); ok {
		l.inner, l.remove, err = listenUnix(path, mode)
	} else {
		l.inner, err = net.Listen("tcp", cfg.Listen) //nolint:noctx // once, at the start
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w; free the address, or choose another", ErrListen, err)
	}

	return l, nil
}

// listenUnix creates a socket under a temporary name and renames it once it has its mode. Otherwise
// users could connect at its path before the mode is set. Until then the process's umask decides
// who may connect at the temporary name.
func listenUnix(path string, mode fs.FileMode) (net.Listener, func(), error) {
	if err := checkReplaceable(path); err != nil {
		return nil, nil, err
	}
	fresh := path + newSuffix
	if err := checkReplaceable(fresh); err != nil {
		return nil, nil, err
	}
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, err
	}

	inner, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, nil, err
	}
	inner.SetUnlinkOnClose(false)
	info, err := os.Lstat(fresh)
	if err == nil {
		err = os.Chmod(fresh, mode)
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		_ = inner.Close()
		_ = os.Remove(fresh)
		return nil, nil, err
	}

	remove := func() { // unless another process has replaced it
		if now, err := os.Lstat(path); err == nil && os.SameFile(now, info) {
			_ = os.Remove(path)
		}
	}

	return named{Listener: inner, path: path}, remove, nil
}

// named is a listener whose socket was renamed.
type named struct {
	net.Listener
	path string
}

func (n named) Addr() net.Addr { return &net.UnixAddr{Name: n.path, Net: "unix"} }

// answerTime is how long the owner of a socket may take to accept a connection.
const answerTime = 2 * time.Second

// checkReplaceable returns an error if the path cannot be used: it is not a socket, or a process
// may still be listening on it.
func checkReplaceable(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s exists and is not a socket", path)
	}

	c, err := net.DialTimeout("unix", path, answerTime) //nolint:noctx // bounded
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("a process is already listening on %s", path)
	}
	if !refused(err) { // its backlog may be full, or this user may not connect
		return fmt.Errorf("cannot tell whether a process is listening on %s: %w", path, err)
	}

	return nil
}

// Addr returns the address of the listener.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept waits until the number of connections is below the limit, and then for the next
// connection. This has the type *Conn. After Close the error matches net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case l.slots <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}

	for pause := 5 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		inner, err := l.inner.Accept()
		if err == nil {
			return l.track(inner), nil
		}
		if !transient(err) {
			<-l.slots
			return nil, err
		}

		select { // try again later
		case <-time.After(pause):
		case <-l.closed:
			<-l.slots
			return nil, net.ErrClosed
		}
	}
}

func (l *Listener) track(inner net.Conn) *Conn {
	c := &Conn{Conn: inner, l: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[c] = struct{}{}
	if l.interrupted.Load() {
		_ = inner.SetReadDeadline(longAgo)
	}

	return c
}

// Close closes the connection and frees its slot.
func (c *Conn) Close() error {
	err := net.ErrClosed
	c.once.Do(func() {
		err = c.Conn.Close()
		c.l.forget(c)
	})

	return err
}

// SetReadDeadline sets the deadline, unless Interrupt was called.
func (c *Conn) SetReadDeadline(t time.Time) error {
	err := c.Conn.SetReadDeadline(t)
	if c.l.interrupted.Load() {
		err = c.Conn.SetReadDeadline(longAgo)
	}

	return err
}

var longAgo = time.Unix(1, 0)

// Interrupt makes reads on all connections fail, now and later, like an expired deadline. Answers
// can still be written.
func (l *Listener) Interrupt() {
	l.interrupted.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.conns {
		_ = c.Conn.SetReadDeadline(longAgo)
	}
}

func (l *Listener) forget(c *Conn) {
	l.mu.Lock()
	delete(l.conns, c)
	close(l.gone)
	l.gone = make(chan struct{})
	l.mu.Unlock()
	<-l.slots
}

// Open returns the number of open connections.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return len(l.conns)
}

// Close stops listening and removes the socket. Open connections stay open. It may be called more
// than once.
func (l *Listener) Close() error {
	var err error
	l.once.Do(func() {
		close(l.closed)
		err = l.inner.Close()
		l.remove()
	})

	return err
}

// Drain waits until all connections are closed. The caller must already have told the
// goroutines that serve them to close them. When ctx ends, reads and writes fail, and Drain
// continues to wait.
func (l *Listener) Drain(ctx context.Context) {
	for {
		l.mu.Lock()
		open, gone := len(l.conns), l.gone
		l.mu.Unlock()
		if open == 0 {
			return
		}

		select {
		case <-gone:
			continue
		case <-ctx.Done():
		}
		l.mu.Lock()
		for c := range l.conns {
			_ = c.Conn.Close() // the goroutine that serves it frees the slot
		}
		l.mu.Unlock()
		ctx = context.WithoutCancel(ctx)
	}
}
