package httpserver

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// limiter is a listener that limits its connections, in total and for each client.
//
// When a limit is reached, the connection that has waited longest for a request header makes way
// for the new one: among those of the same client for the client limit, otherwise among those of
// the client with the most connections. A client that opens many connections and sends nothing thus
// loses its own first. If all connections are busy, the new one is closed; without TLS, it gets
// status 503 before.
type limiter struct {
	net.Listener
	total         int
	perClient     int
	plain         bool // without TLS, so that a refusal is readable
	onFirstAccept func()
	onDrop        func(why dropReason)

	once    sync.Once
	mu      sync.Mutex
	conns   map[*conn]struct{}
	clients map[netip.Addr]int // number of connections of each
}

// dropReason says why the limiter closed a connection.
type dropReason string

const (
	evicted       dropReason = "evicted"        // it was waiting, and a new connection needed its place
	refusedTotal  dropReason = "refused_total"  // max_connections are busy
	refusedClient dropReason = "refused_client" // max_connections_per_client are busy
)

// dropReasons lists every dropReason.
var dropReasons = []dropReason{evicted, refusedTotal, refusedClient}

// conn is a counted connection.
type conn struct {
	net.Conn
	limiter *limiter
	client  netip.Addr

	// Guarded by limiter.mu.
	waiting bool      // for a request header
	since   time.Time // when it began to wait
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

// Accept returns the next connection for which there is room.
func (l *limiter) Accept() (net.Conn, error) {
	l.once.Do(l.onFirstAccept)
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		admitted, victim, why := l.admit(c)
		if victim != nil {
			_ = victim.Conn.Close()
			l.onDrop(evicted)
		}
		if admitted != nil {
			return admitted, nil
		}
		l.onDrop(why)
		l.refuse(c)
	}
}

// admit counts a connection. If necessary it returns a victim that must be closed.
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
		if victim = l.longestWaitingOfLargest(); victim == nil {
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

// longestWaitingOfLargest returns the connection that has waited longest. It considers only clients
// with a waiting connection, and of those the ones with the most connections. The caller holds mu.
func (l *limiter) longestWaitingOfLargest() *conn {
	most := 0
	for c := range l.conns {
		if c.waiting {
			most = max(most, l.clients[c.client])
		}
	}

	return l.longestWaiting(func(c *conn) bool { return l.clients[c.client] == most })
}

// longestWaiting returns the connection that has waited longest, or nil. The caller holds mu.
func (l *limiter) longestWaiting(matches func(*conn) bool) *conn {
	var longest *conn
	for c := range l.conns {
		if c.waiting && matches(c) && (longest == nil || c.since.Before(longest.since)) {
			longest = c
		}
	}

	return longest
}

// forget stops counting a connection. The caller holds mu.
func (l *limiter) forget(c *conn) {
	if _, counted := l.conns[c]; !counted {
		return
	}
	delete(l.conns, c)
	if l.clients[c.client]--; l.clients[c.client] == 0 {
		delete(l.clients, c.client)
	}
}

// open returns the number of connections.
func (l *limiter) open() int {
	l.mu.Lock()
	defer l.mu.Unlock()

	return len(l.conns)
}

// refusal is the response for a connection for which there is no room. Writing it does not block,
// because the buffer of a new connection is empty.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

func (l *limiter) refuse(c net.Conn) {
	if l.plain {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.Write([]byte(refusal)) // the client may be gone
	}
	_ = c.Close()
}

// setState is http.Server's ConnState callback. A connection waits until its request header is
// complete, and again after the response.
func (l *limiter) setState(c net.Conn, state http.ConnState) {
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

// Close closes the connection and stops counting it.
func (c *conn) Close() error {
	c.limiter.mu.Lock()
	c.limiter.forget(c)
	c.limiter.mu.Unlock()

	return c.Conn.Close()
}

// CloseWrite lets http.Server close its half first, so that the client can read a response that was
// sent before its request was read completely.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}

	return nil
}

// clientOf returns the address under which a client's connections are counted. For IPv6 that is the
// /64, because a client usually has all of it.
func clientOf(a net.Addr) netip.Addr {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Addr{}
	}
	addr := at.Addr().Unmap().WithZone("")
	if addr.Is6() {
		prefix, _ := addr.Prefix(64) // cannot fail: IPv6 addresses are longer
		return prefix.Addr()
	}

	return addr
}
