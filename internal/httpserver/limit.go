package httpserver

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// limiter is a listener with a bound on its connections, in all and for each client.
//
// Where a bound is reached, the connection makes room that waits longest for a header, or between
// two requests: of the same client where it is that client's bound, else of the client with the
// most connections. So those who open connections and say nothing lose theirs first, however
// many they open. Where every connection is at work, the new one is answered 503 and closed.
type limiter struct {
	net.Listener
	total     int
	perClient int
	plain     bool // without TLS, so that a refusal can be read
	begin     func()
	dropped   func(why dropReason)

	once    sync.Once
	mu      sync.Mutex
	conns   map[*conn]struct{}
	clients map[netip.Addr]int // connections of each
}

// dropReason says why a connection was closed before its time.
type dropReason string

const (
	evicted       dropReason = "evicted"        // it said nothing, and another needed its place
	refusedTotal  dropReason = "refused_total"  // max_connections are at work
	refusedClient dropReason = "refused_client" // max_connections_per_client of its address are
)

// dropReasons is the closed list.
var dropReasons = []dropReason{evicted, refusedTotal, refusedClient}

// conn is a connection that counts.
type conn struct {
	net.Conn
	limiter *limiter
	client  netip.Addr

	// Guarded by limiter.mu.
	waiting bool      // for the header of a request
	since   time.Time // that
}

func newLimiter(l net.Listener, total, perClient int) *limiter {
	return &limiter{
		Listener:  l,
		total:     total,
		perClient: perClient,
		conns:     map[*conn]struct{}{},
		clients:   map[netip.Addr]int{},
	}
}

// Accept returns the next connection that there is room for.
func (l *limiter) Accept() (net.Conn, error) {
	l.once.Do(l.begin)
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted, victim, why := l.admit(c)
		if victim != nil {
			_ = victim.Conn.Close()
			l.dropped(evicted)
		}
		if admitted != nil {
			return admitted, nil
		}
		l.dropped(why)
		l.refuse(c)
	}
}

// admit counts a connection, in place of another one where it must.
func (l *limiter) admit(c net.Conn) (admitted, victim *conn, why dropReason) {
	n := &conn{
		Conn:    c,
		limiter: l,
		client:  clientOf(c.RemoteAddr()),
		waiting: true,
		since:   time.Now(),
	}
	l.mu.Lock()
	defer l.mu.Unlock()

	switch {
	case l.clients[n.client] >= l.perClient:
		if victim = l.longestWaiting(func(o *conn) bool { return o.client == n.client }); victim == nil {
			return nil, nil, refusedClient
		}
	case len(l.conns) >= l.total:
		if victim = l.crowded(); victim == nil {
			return nil, nil, refusedTotal
		}
	}
	if victim != nil {
		l.forget(victim)
	}
	l.conns[n] = struct{}{}
	l.clients[n.client]++

	return n, victim, ""
}

// crowded is the connection that waits longest, of the clients that have most connections of
// those with one that waits. The caller holds mu.
func (l *limiter) crowded() *conn {
	most := 0
	for c := range l.conns {
		if c.waiting {
			most = max(most, l.clients[c.client])
		}
	}

	return l.longestWaiting(func(c *conn) bool { return l.clients[c.client] == most })
}

// longestWaiting returns nil where none waits. The caller holds mu.
func (l *limiter) longestWaiting(of func(*conn) bool) *conn {
	var longest *conn
	for c := range l.conns {
		if c.waiting && of(c) && (longest == nil || c.since.Before(longest.since)) {
			longest = c
		}
	}

	return longest
}

// forget takes a connection out of the count. The caller holds mu.
func (l *limiter) forget(c *conn) {
	if _, there := l.conns[c]; !there {
		return
	}
	delete(l.conns, c)
	if l.clients[c.client]--; l.clients[c.client] == 0 {
		delete(l.clients, c.client)
	}
}

// open is how many connections there are.
func (l *limiter) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return len(l.conns)
}

// refusal is what a connection gets for which there is no room. The buffer of a new
// connection is empty, so writing it does not wait.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

func (l *limiter) refuse(c net.Conn) {
	if l.plain {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte(refusal)) // nobody may be there any more
	}
	_ = c.Close()
}

// noteState is the http.Server's ConnState: a connection waits until the header of a request is
// complete, and again after the answer.
func (l *limiter) noteState(c net.Conn, state http.ConnState) {
	if t, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = t.NetConn()
	}
	n, ok := c.(*conn)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch state {
	case http.StateNew:
	case http.StateIdle:
		n.waiting = true
		n.since = time.Now()
	default:
		n.waiting = false
	}
}

// Close closes the connection, and makes room.
func (c *conn) Close() error {
	c.limiter.mu.Lock()
	c.limiter.forget(c)
	c.limiter.mu.Unlock()

	return c.Conn.Close()
}

// CloseWrite lets http.Server end its half before it closes, so that the client can still read an
// answer to a request that was not read whole.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}

	return nil
}

// clientOf is the address that a client's connections are counted by. Whoever has one IPv6 address
// has its whole /64.
func clientOf(a net.Addr) netip.Addr {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // 64 bits are always there
		return prefix.Addr()
	}

	return addr
}
