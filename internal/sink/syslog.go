package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"backburn/internal/sink/format"
)

// The protocols that carry syslog.
const (
	SyslogTLS = "tls" // RFC 5425
	SyslogTCP = "tcp" // RFC 6587, octet counting
	SyslogUDP = "udp" // RFC 5426
)

// SyslogConfig says where messages by RFC 5424 go.
type SyslogConfig struct {
	Address  string // host and port
	Protocol string // tls, tcp or udp
	Facility int    // 0 to 23
	Format   format.Name
	TLS      TLSFiles
	Hostname string // that messages name; defaults to this machine's
}

// Syslog sends each event as a message of RFC 5424.
//
// Neither TCP nor UDP tells whether the receiver has read a message. Over TCP and TLS an event
// counts as taken when, on Linux, the receiver's machine has acknowledged all its bytes, elsewhere
// when this machine has taken them; and what was written in the last seconds before a connection
// broke is sent again over the next one, unless the receiver ended it in good order. So a receiver
// may get an event twice, and loses what it has neither read nor stored when its machine stops.
// Over UDP nothing is known.
type Syslog struct {
	cfg SyslogConfig
	tls *tls.Config

	conn   *connection   // nil: none
	recent []sentMessage // over this connection, or the one that broke
	broke  time.Time     // when that was
}

// connection is a connection and what reads from it.
type connection struct {
	net.Conn
	used   bool          // a message was written
	ended  chan struct{} // closed when the receiver has ended it
	err    error         // why; only once it has ended
	at     time.Time     // when; likewise
	reader sync.WaitGroup
}

// sentMessage is a message that may not have been read.
type sentMessage struct {
	at    time.Time
	text  []byte
	again int // how often it was sent again
}

// What is sent again after a break: as much as a receiver may have had in its buffers.
const (
	recentTime  = 10 * time.Second
	recentCount = 256
	recentBytes = 1 << 20
	recentAgain = 3 // times, so that a receiver that breaks every connection still sees the next message
)

// maxDatagram is the most that fits a datagram of UDP, in bytes.
const maxDatagram = 65_507

// NewSyslog makes a syslog target, and connects with the first event.
func NewSyslog(cfg SyslogConfig) (*Syslog, error) {
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	s := &Syslog{cfg: cfg}
	if cfg.Protocol == SyslogTLS {
		if s.tls, err = cfg.TLS.client(host); err != nil {
			return nil, err
		}
	}
	if s.cfg.Hostname == "" {
		s.cfg.Hostname, _ = os.Hostname()
	}
	return s, nil
}

// Close ends the connection in good order.
func (s *Syslog) Close() error {
	s.drop()
	return nil
}

// Send writes a message.
func (s *Syslog) Send(ctx context.Context, m Message) error {
	text := s.frame(m)
	if s.cfg.Protocol == SyslogUDP && len(text) > maxDatagram {
		return &Fault{Kind: Refused, Err: fmt.Errorf("the message has %d bytes, a datagram takes %d", len(text), maxDatagram)}
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.write(ctx, text); err != nil {
		return s.broken(err)
	}
	s.remember(sentMessage{text: text})
	return nil
}

// connect makes a connection where there is none, and sends again what the last one may have lost.
func (s *Syslog) connect(ctx context.Context) error {
	if s.conn != nil {
		select {
		case <-s.conn.ended:
			s.drop()
		default:
			return nil
		}
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return dialFault(err)
	}
	s.conn = &connection{Conn: conn, ended: make(chan struct{})}
	s.conn.reader.Go(s.conn.read)

	again := s.recent
	s.recent = nil
	for i, m := range again {
		if m.at.Before(s.broke.Add(-recentTime)) {
			continue // it was read long before
		}
		m.again++
		if err := s.write(ctx, m.text); err != nil {
			s.recent = append(s.recent, again[i+1:]...)
			if m.again < recentAgain {
				s.recent = slices.Insert(s.recent, 0, m)
			}
			return s.broken(err)
		}
		s.remember(m)
	}
	return nil
}

// dial makes a connection.
func (s *Syslog) dial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second}}
	if s.cfg.Protocol == SyslogUDP {
		return dialer.DialContext(ctx, "udp", s.cfg.Address)
	}
	conn, err := dialer.DialContext(ctx, "tcp", s.cfg.Address)
	if err != nil || s.tls == nil {
		return conn, err
	}
	secure := tls.Client(conn, s.tls)
	if err := secure.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	return secure, nil
}

// broken drops the connection, and says why.
func (s *Syslog) broken(err error) *Fault {
	s.drop()
	f := dialFault(err)
	f.Err = fmt.Errorf("the connection to the syslog server broke: %w", err)
	return f
}

// dialFault tells a server that is away from one that is not whom we trust.
func dialFault(err error) *Fault {
	f := &Fault{Kind: Unavailable, Err: fmt.Errorf("the syslog server cannot be reached: %w", err)}
	var (
		cert *tls.CertificateVerificationError
		host x509.HostnameError
		op   *net.OpError
		odd  tls.RecordHeaderError
	)
	if errors.As(err, &cert) || errors.As(err, &host) {
		f.Kind, f.Remedy = Misconfigured, "check the sink's ca_file, and that the server's certificate has the name in address"
	}
	if errors.As(err, &op) && op.Op == "remote error" || errors.As(err, &odd) { // an alert of TLS, or no TLS
		f.Kind, f.Remedy = Misconfigured, "check the sink's protocol, cert_file and key_file, and what the server demands"
	}
	return f
}

// read reads until the connection ends. Receivers of syslog say nothing; what one says all the
// same is thrown away.
func (c *connection) read() {
	defer close(c.ended)
	buf := make([]byte, 512)
	for {
		_, err := c.Read(buf)
		if _, udp := c.Conn.(*net.UDPConn); udp && !errors.Is(err, net.ErrClosed) {
			continue // that nobody listens there may be over soon
		}
		if err != nil {
			c.err, c.at = err, time.Now()
			return
		}
	}
}

// over reports whether the connection has ended, and why. A receiver that has ended it in good
// order, after it had read everything, is no error: with something unread, its machine resets the
// connection.
func (c *connection) over() (bool, error) {
	select {
	case <-c.ended:
	default:
		return false, nil
	}
	if errors.Is(c.err, io.EOF) || errors.Is(c.err, io.ErrUnexpectedEOF) {
		return true, nil
	}
	return true, c.err
}

// write writes until ctx ends, and waits for the receiver's machine to have it.
func (s *Syslog) write(ctx context.Context, text []byte) error {
	conn := s.conn // whoever ends ctx may do so when it is gone
	deadline, _ := ctx.Deadline()
	if err := conn.SetWriteDeadline(deadline); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := conn.Write(text); err != nil {
		return err
	}
	if s.cfg.Protocol == SyslogUDP {
		return nil
	}
	return s.delivered(ctx)
}

// The first and longest pause between two looks at what is under way, and how long the first
// message of a connection waits for a server that wants none: with TLS 1.3 a certificate is
// refused after the handshake.
const (
	firstLook = 50 * time.Microsecond
	lastLook  = 20 * time.Millisecond
	firstWait = 250 * time.Millisecond
)

// delivered waits until the receiver's machine has acknowledged everything.
func (s *Syslog) delivered(ctx context.Context) error {
	for look := firstLook; ; look = min(2*look, lastLook) {
		n, reset := unsent(s.conn.Conn)
		if reset {
			return s.conn.resetCause()
		}
		if n == 0 {
			break
		}
		if err := s.stays(ctx, look); err != nil {
			return err
		}
	}
	if s.conn.used {
		_, err := s.conn.over()
		return err
	}

	if err := s.stays(ctx, firstWait); err != nil {
		return err
	}
	s.conn.used = true
	if _, reset := unsent(s.conn.Conn); reset {
		return s.conn.resetCause()
	}
	return nil
}

// resetCause is why the server reset the connection: what it sent before, such as a TLS alert,
// if it sent anything.
func (c *connection) resetCause() error {
	<-c.ended // at once: nothing is left to read but that
	if _, err := c.over(); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}
	return errReset
}

// errReset is a receiver that ended a connection with something unread.
var errReset = errors.New("the server reset it")

// stays waits, at most until the connection ends. It fails where that is not in good order.
func (s *Syslog) stays(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	ended := s.conn.ended
	if over, err := s.conn.over(); over && err == nil {
		ended = nil // what is under way may still arrive
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
	}
	_, err := s.conn.over()
	return err
}

// drop ends a connection.
func (s *Syslog) drop() {
	if s.conn == nil {
		return
	}
	s.broke = time.Now()
	if over, err := s.conn.over(); over {
		s.broke = s.conn.at
		if _, reset := unsent(s.conn.Conn); err == nil && !reset {
			s.recent = nil // all of it was read
		}
	}
	_ = s.conn.SetDeadline(time.Now().Add(time.Second)) // for the end of TLS
	_ = s.conn.Close()
	s.conn.reader.Wait()
	s.conn = nil
}

// remember keeps a message for a while.
func (s *Syslog) remember(m sentMessage) {
	if s.cfg.Protocol == SyslogUDP {
		return
	}
	now := time.Now()
	m.at = now
	s.recent = append(s.recent, m)
	bytes := 0
	for i := len(s.recent) - 1; i >= 0; i-- {
		bytes += len(s.recent[i].text)
		if len(s.recent)-i > recentCount || bytes > recentBytes || now.Sub(s.recent[i].at) > recentTime {
			s.recent = append([]sentMessage(nil), s.recent[i+1:]...)
			return
		}
	}
}

// frame is a message as the protocol carries it.
func (s *Syslog) frame(m Message) []byte {
	text := s.text(m)
	if s.cfg.Protocol == SyslogUDP {
		return text
	}
	return append([]byte(strconv.Itoa(len(text))+" "), text...)
}

// text is a message of RFC 5424, section 6.
func (s *Syslog) text(m Message) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%d>1 %s %s backburn %d %s - ",
		s.cfg.Facility*8+m.Severity.Syslog,
		m.Time.UTC().Format("2006-01-02T15:04:05.000000Z"),
		headerField(s.cfg.Hostname, 255),
		os.Getpid(),
		headerField(m.Name, 32))
	if s.cfg.Format == format.CEF {
		b.Write(m.Body)
	} else {
		b.Write(ascii(m.Body))
	}
	return b.Bytes()
}

// headerField is a field of the header: visible ASCII, or "-" for nothing.
func headerField(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r < '!' || r > '~' {
			return -1
		}
		return r
	}, s)
	if s == "" {
		return "-"
	}
	return s[:min(len(s), limit)]
}

// ascii writes JSON without other characters. A message of UTF-8 would have to begin with a byte
// order mark, which many receivers take for a part of the JSON.
func ascii(body []byte) []byte {
	if !bytes.ContainsFunc(body, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return body
	}
	var b bytes.Buffer
	for _, r := range string(body) {
		switch {
		case r < utf8.RuneSelf:
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.Bytes()
}
