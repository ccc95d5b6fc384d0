package wildfiretest

import (
	"bytes"
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"
)

// Start serves on a free loopback port, with the vendor's reason phrases. The caller closes the
// server.
func (s *Server) Start() *httptest.Server {
	web := httptest.NewUnstartedServer(s)
	web.Listener = s.Listener(web.Listener)
	web.Config.ConnContext = s.ConnContext
	web.Start()

	return web
}

// StartTLS serves HTTPS, with HTTP/2, on a free loopback port; clients must trust the returned
// server's certificate. HTTP/2 has no reason phrases.
func (s *Server) StartTLS() *httptest.Server {
	web := httptest.NewUnstartedServer(s)
	web.EnableHTTP2 = true
	web.StartTLS()

	return web
}

// Listener wraps a listener so that answers carry the vendor's reason phrases, which net/http
// cannot write. Use it with your own http.Server, whose ConnContext must be Server.ConnContext.
//
// The status line is replaced when it is written to the connection. Hijacking the connection would
// prevent its reuse after every error.
func (s *Server) Listener(inner net.Listener) net.Listener { return &phraseListener{inner} }

// ConnContext passes the connection to the handler; see Listener.
func (*Server) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// defaultHeaderTimeout is how long a client may take to send its headers.
const defaultHeaderTimeout = 10 * time.Second

// NewHTTPServer returns an http.Server for a listener from Listener. The caller starts it and shuts
// it down.
func (s *Server) NewHTTPServer() *http.Server {
	return &http.Server{Handler: s, ConnContext: s.ConnContext, ReadHeaderTimeout: defaultHeaderTimeout}
}

type connKey struct{}

// encrypted reports whether a call came over TLS, also if the TLS listener is wrapped.
func encrypted(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}

	conn, _ := r.Context().Value(connKey{}).(*phraseConn)
	if conn == nil {
		return false
	}

	_, ok := conn.Conn.(*tls.Conn)

	return ok
}

type phraseListener struct{ net.Listener }

func (l *phraseListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &phraseConn{Conn: conn}, nil
}

// phraseConn replaces the reason phrase of the next status line.
type phraseConn struct {
	net.Conn
	mu     sync.Mutex
	line   []byte // prefix of the status line to replace; nil for none
	phrase string
}

// CloseWrite closes the writing side of the TCP connection, which net/http uses for an orderly
// close.
func (c *phraseConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return c.Conn.Close()
}

// SetLinger sets TCP's linger option; 0 makes Close reset the connection.
func (c *phraseConn) SetLinger(seconds int) error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.SetLinger(seconds)
	}
	return nil
}

// next sets the replacement for the next answer.
func (c *phraseConn) next(status int, phrase string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line, c.phrase = []byte("HTTP/1.1 "+strconv.Itoa(status)+" "), phrase
}

// Write writes p. If p begins with the status line, it replaces the phrase: net/http writes the
// header of an answer in one piece, at the start of its buffer.
func (c *phraseConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	line, phrase := c.line, c.phrase
	replace := line != nil && bytes.HasPrefix(p, line)
	if replace {
		c.line = nil
	}

	c.mu.Unlock()
	if !replace {
		return c.Conn.Write(p)
	}

	end := bytes.Index(p, []byte("\r\n"))
	if end < 0 {
		return c.Conn.Write(p)
	}

	changed := make([]byte, 0, len(p)+len(phrase))
	changed = append(append(append(changed, line...), phrase...), p[end:]...)
	if _, err := c.Conn.Write(changed); err != nil {
		return 0, err
	}

	return len(p), nil
}
