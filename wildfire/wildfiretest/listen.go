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

// Start serves on a free loopback port, with the vendor's reason phrases. The caller closes what it
// returns.
func (s *Server) Start() *httptest.Server {
	web := httptest.NewUnstartedServer(s)
	web.Listener = s.Listener(web.Listener)
	web.Config.ConnContext = s.ConnContext
	web.Start()
	return web
}

// StartTLS serves HTTPS, with HTTP/2, on a free loopback port; the returned server's certificate is
// what a client has to trust. Reason phrases are not sent: HTTP/2 has none.
func (s *Server) StartTLS() *httptest.Server {
	web := httptest.NewUnstartedServer(s)
	web.EnableHTTP2 = true
	web.StartTLS()
	return web
}

// Listener wraps a listener so that answers carry the vendor's reason phrases, which net/http
// cannot write. It is for servers of one's own, which must also have ConnContext as their
// http.Server.ConnContext.
//
// The status line is replaced on its way to the connection. Taking the connection over
// ("hijacking") would cost its reuse after every error.
func (s *Server) Listener(inner net.Listener) net.Listener { return &phraseListener{inner} }

// ConnContext tells the handler which connection it serves; see Listener.
func (*Server) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// defaultHeaderTimeout is how long a client may take to send its headers.
const defaultHeaderTimeout = 10 * time.Second

// NewHTTPServer returns an http.Server for a listener made by Listener. The caller serves and shuts
// down.
func (s *Server) NewHTTPServer() *http.Server {
	return &http.Server{Handler: s, ConnContext: s.ConnContext, ReadHeaderTimeout: defaultHeaderTimeout}
}

type connKey struct{}

// encrypted reports whether a call came by TLS, be it below the wrapped listener.
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

// phraseConn replaces the reason phrase of one coming status line.
type phraseConn struct {
	net.Conn
	mu     sync.Mutex
	line   []byte // what the status line to replace begins with; nil for none
	phrase string
}

// CloseWrite and SetLinger reach through to TCP: net/http uses the first to close gently.
func (c *phraseConn) CloseWrite() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.CloseWrite()
	}
	return c.Conn.Close()
}

// SetLinger sets how the connection closes; 0 resets it.
func (c *phraseConn) SetLinger(seconds int) error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		return tcp.SetLinger(seconds)
	}
	return nil
}

// next arms the replacement for the answer that is about to be written.
func (c *phraseConn) next(status int, phrase string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.line, c.phrase = []byte("HTTP/1.1 "+strconv.Itoa(status)+" "), phrase
}

// Write sends p, with the phrase replaced where p begins with the status line: net/http writes the
// head of an answer in one piece, at the start of its buffer.
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
