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

// Wire is a proxy between programs and a NATS server. It counts the messages that the programs
// write, and can cut all connections at a given message, as if the network failed or the program
// stopped there. It is safe for concurrent use.
type Wire struct {
	t        testing.TB
	listener net.Listener
	server   string // host:port

	mu      sync.Mutex
	counts  func(subject string) bool
	left    int // messages until the cut; 0: no cut
	deliver bool
	seen    []string // subjects of the counted messages
	conns   map[net.Conn]bool
	cut     chan struct{} // closed at the cut
}

// NewWire listens for programs, and forwards data between them and the NATS server until the test
// ends.
func NewWire(t testing.TB, server string) *Wire {
	t.Helper()
	u := must(url.Parse(server))(t)
	l := must(new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
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

// URL returns the URL to which the programs connect.
func (w *Wire) URL() string { return "nats://" + w.listener.Addr().String() }

// Count starts to count messages to subjects for which counts returns true.
func (w *Wire) Count(counts func(subject string) bool) { w.CutAt(0, false, counts) }

// CutAt cuts the wire at the nth message from now whose subject counts accepts: after that nothing
// passes in either direction. With deliver, the message itself still passes, so that only its
// answer is lost. The returned channel is closed at the cut.
func (w *Wire) CutAt(n int, deliver bool, counts func(subject string) bool) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts = counts
	w.left = n
	w.deliver = deliver
	w.seen = nil

	return w.cut
}

// Seen returns the subjects of the counted messages, in order.
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

// up forwards the client's data, one operation of the NATS protocol at a time.
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

// down forwards the server's data until the cut.
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

// passes counts a message, and reports whether it is forwarded.
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

// operation reads one operation, and its subject if it is a message.
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
