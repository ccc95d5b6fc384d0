package testkit

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Wire is the connection of programs to a NATS server. It counts what they write, and can end for
// all of them at one message, as if the network were cut or the program stopped right there. It is
// safe for concurrent use.
type Wire struct {
	t        testing.TB
	listener net.Listener
	server   string // host:port

	mu      sync.Mutex
	counts  func(subject string) bool
	left    int // messages until the end; 0: it has no end
	deliver bool
	seen    []string // subjects that were counted
	conns   map[net.Conn]bool
	cut     chan struct{} // closed at the end
}

// NewWire listens for programs, and passes on to the NATS server at an address what they write
// and what it answers, until the test ends.
func NewWire(t testing.TB, server string) *Wire {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	w := &Wire{
		t:        t,
		listener: l,
		server:   u.Host,
		conns:    map[net.Conn]bool{},
		cut:      make(chan struct{}),
	}
	var serving sync.WaitGroup
	serving.Go(func() { w.serve(&serving) })
	t.Cleanup(func() {
		_ = l.Close()
		w.closeAll()
		serving.Wait()
	})

	return w
}

// URL is where the programs find the server.
func (w *Wire) URL() string { return "nats://" + w.listener.Addr().String() }

// Count counts messages from now on, those to subjects that counts takes.
func (w *Wire) Count(counts func(subject string) bool) { w.CutAt(0, false, counts) }

// CutAt ends the wire at the nth message from now on that is to a subject which counts takes:
// nothing passes any more, in either direction, but the message itself where it is to be
// delivered. Then the answer alone is lost. The returned channel is closed at the end.
func (w *Wire) CutAt(n int, deliver bool, counts func(subject string) bool) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts = counts
	w.left = n
	w.deliver = deliver
	w.seen = nil

	return w.cut
}

// Seen is the subjects of what was counted, in their order.
func (w *Wire) Seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()

	return append([]string(nil), w.seen...)
}

func (w *Wire) serve(serving *sync.WaitGroup) {
	for {
		client, err := w.listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(w.t.Context(), "tcp", w.server)
		if err != nil {
			_ = client.Close()
			continue
		}
		w.mu.Lock()
		w.conns[client], w.conns[server] = true, true
		w.mu.Unlock()

		serving.Go(func() { defer w.close(client, server); w.up(client, server) })
		serving.Go(func() { defer w.close(client, server); w.down(server, client) })
	}
}

func (w *Wire) close(conns ...net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(w.conns, c)
	}
}

func (w *Wire) closeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
}

// up passes on what a client sends, one operation of the NATS protocol at a time.
func (w *Wire) up(client io.Reader, server io.Writer) {
	in := bufio.NewReaderSize(client, 1<<20)
	for {
		op, subject, err := operation(in)
		if err != nil || !w.passes(subject) {
			return
		}
		if _, err := server.Write(op); err != nil {
			return
		}
		if w.ended() {
			return
		}
	}
}

// down passes on what the server sends, up to the end.
func (w *Wire) down(server io.Reader, client io.Writer) {
	buf := make([]byte, 64<<10)
	for {
		n, err := server.Read(buf)
		if err != nil || w.ended() {
			return
		}
		if _, err := client.Write(buf[:n]); err != nil {
			return
		}
	}
}

func (w *Wire) ended() bool {
	select {
	case <-w.cut:
		return true
	default:
		return false
	}
}

// passes counts a message, and reports whether it goes on to the server.
func (w *Wire) passes(subject string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended() {
		return false
	}
	if w.counts == nil || subject == "" || !w.counts(subject) {
		return true
	}

	w.seen = append(w.seen, subject)
	if w.left == 0 || len(w.seen) < w.left {
		return true
	}
	close(w.cut)

	return w.deliver
}

// operation reads one operation, and the subject where it is a message.
func operation(in *bufio.Reader) (op []byte, subject string, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, "", err
	}
	op = append(op, line...)

	fields := strings.Fields(string(line))
	if len(fields) < 3 || (fields[0] != "PUB" && fields[0] != "HPUB") {
		return op, "", nil
	}
	size, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil || size < 0 || size > 64<<20 {
		return nil, "", errors.New("no size: " + string(line))
	}
	at := len(op)
	op = append(op, make([]byte, size+2)...)
	_, err = io.ReadFull(in, op[at:])

	return op, fields[1], err
}
