package sink

import (
	"bytes"
	"context"
	"crypto/tls"
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

// Syslog is a target that sends each event as an RFC 5424 message.
//
// Neither TCP nor UDP reveals whether the receiver has read a message. Over TCP and TLS, an event
// counts as delivered once the receiver's machine has acknowledged all its bytes (on Linux), or
// once this machine has buffered them (elsewhere). When a connection breaks, the messages of the
// last seconds are sent again over the next one, unless the receiver closed the connection cleanly.
// A receiver may therefore get an event twice. If its machine stops, it loses what it has not yet
// read or stored. Over UDP, deliveries are not confirmed at all.
type Syslog struct {
	cfg Config
	tls *tls.Config

	dialContext func(ctx context.Context, network, address string) (net.Conn, error)

	conn   *connection   // nil if there is none
	recent []sentMessage // what the receiver may not have read; without a connection, what to repeat
}

// connection is a connection with a goroutine that reads from it.
type connection struct {
	net.Conn
	used    bool           // whether the receiver has accepted a message over it
	ended   chan struct{}  // closed when the receiver has closed the connection
	err     error          // why the connection ended; set before ended is closed
	endedAt time.Time      // when the connection ended; set before ended is closed
	reader  sync.WaitGroup // done when read has returned
}

// sentMessage is a message that the receiver may not have read.
type sentMessage struct {
	at      time.Time
	text    []byte
	repeats int // how often it was sent again
}

// Limits of what is sent again after a break: as much as a receiver may have had in its buffers.
const (
	recentTime  = 10 * time.Second
	recentCount = 256
	recentBytes = 1 << 20
	maxRepeats  = 3 // of one message, so that a receiver that breaks every connection still gets the next message
)

// maxDatagram is the maximum size of a message over UDP, in bytes.
const maxDatagram = 65_507

// NewSyslog returns a syslog target that connects at the first event.
func NewSyslog(cfg Config) (*Syslog, error) {
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("address: %w", err)
	}
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second}}
	s := &Syslog{cfg: cfg, dialContext: dialer.DialContext}
	if cfg.Protocol == SyslogTLS {
		if s.tls, err = cfg.clientConfig(host); err != nil {
			return nil, err
		}
	}
	if s.cfg.Hostname == "" {
		s.cfg.Hostname, _ = os.Hostname()
	}

	return s, nil
}

// Close closes the connection cleanly.
func (s *Syslog) Close() error {
	s.closeConn()
	return nil
}

// Send writes a message.
func (s *Syslog) Send(ctx context.Context, m Message) error {
	text := s.frame(m)
	if s.cfg.Protocol == SyslogUDP && len(text) > maxDatagram {
		return &Fault{Kind: Refused, Err: fmt.Errorf("the message has %d bytes; a datagram can hold %d", len(text), maxDatagram)}
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if err := s.write(ctx, text); err != nil {
		return s.connFault(err)
	}
	s.remember(sentMessage{text: text})

	return nil
}

// connect connects if necessary, and repeats messages that the last connection may have lost.
func (s *Syslog) connect(ctx context.Context) error {
	if s.conn != nil {
		select {
		case <-s.conn.ended:
			s.closeConn()
		default:
			return nil
		}
	}
	conn, err := s.dial(ctx)
	if err != nil {
		return networkFault("the syslog server cannot be reached", err)
	}
	s.conn = &connection{Conn: conn, ended: make(chan struct{})}
	s.conn.reader.Go(s.conn.read)

	repeats := s.recent
	s.recent = nil
	for i, m := range repeats {
		err := s.write(ctx, m.text)
		timedOut := ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)
		if err == nil || !timedOut { // a slow receiver is no reason to give up a message
			m.repeats++
		}
		if err == nil {
			s.remember(m)
			continue
		}

		fault := s.connFault(err) // removes from s.recent what the receiver has read
		if m.repeats < maxRepeats {
			s.recent = append(s.recent, m)
		}
		s.recent = append(s.recent, repeats[i+1:]...)

		return fault
	}

	return nil
}

func (s *Syslog) dial(ctx context.Context) (net.Conn, error) {
	if s.cfg.Protocol == SyslogUDP {
		return s.dialContext(ctx, "udp", s.cfg.Address)
	}
	conn, err := s.dialContext(ctx, "tcp", s.cfg.Address)
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

// connFault closes the connection because of err, and returns the fault.
func (s *Syslog) connFault(err error) *Fault {
	s.closeConn()

	return networkFault("the connection to the syslog server broke", err)
}

// read reads until the connection ends. Syslog receivers do not send data; anything that arrives is
// discarded.
func (c *connection) read() {
	defer close(c.ended)
	buf := make([]byte, 512)
	for {
		_, err := c.Read(buf)
		if _, udp := c.Conn.(*net.UDPConn); udp && !errors.Is(err, net.ErrClosed) {
			continue // an ICMP error, for example because the port is closed at the moment
		}
		if err != nil {
			c.err, c.endedAt = err, time.Now()
			return
		}
	}
}

// hasEnded reports whether the connection has ended, and why. A receiver that has read everything
// and closes its end is not an error; if data was unread, its machine resets the connection.
func (c *connection) hasEnded() (bool, error) {
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

// write sends data, and waits until the receiver's machine has acknowledged it or ctx ends.
func (s *Syslog) write(ctx context.Context, text []byte) error {
	conn := s.conn // the function that runs at the end of ctx may run after s.conn is cleared
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

	return s.waitAcknowledged(ctx)
}

// The shortest and longest interval between checks for unacknowledged data. firstMessageWait is how
// long the first message of a connection waits for a rejection by the server: in TLS 1.3, a client
// certificate is rejected only after the handshake.
const (
	minCheckInterval = 50 * time.Microsecond
	maxCheckInterval = 20 * time.Millisecond
	firstMessageWait = 250 * time.Millisecond
)

// waitAcknowledged waits until the receiver's machine has acknowledged all data.
func (s *Syslog) waitAcknowledged(ctx context.Context) error {
	for interval := minCheckInterval; ; interval = min(2*interval, maxCheckInterval) {
		n, reset := unacknowledged(s.conn.Conn)
		if reset {
			return s.conn.resetCause()
		}
		if n == 0 {
			break
		}
		if err := s.waitOpen(ctx, interval); err != nil {
			return err
		}
	}
	if s.conn.used {
		_, err := s.conn.hasEnded()
		return err
	}

	if err := s.waitOpen(ctx, firstMessageWait); err != nil {
		return err
	}
	s.conn.used = true
	if _, reset := unacknowledged(s.conn.Conn); reset {
		return s.conn.resetCause()
	}

	return nil
}

// resetCause returns why the server reset the connection: what the server sent before, such as a
// TLS alert, or errReset.
func (c *connection) resetCause() error {
	<-c.ended // does not block, because there is nothing else to read
	if _, err := c.hasEnded(); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return err
	}

	return errReset
}

// errReset means that the receiver closed the connection with unread data.
var errReset = errors.New("the server reset it")

// waitOpen waits for d, or until the connection ends. It returns an error if ctx ends, or if the
// connection has ended and was not closed cleanly.
func (s *Syslog) waitOpen(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	ended := s.conn.ended
	if closed, err := s.conn.hasEnded(); closed && err == nil {
		ended = nil // do not return at once, because sent data may still be acknowledged
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
	}
	_, err := s.conn.hasEnded()

	return err
}

// closeConn closes the connection. It keeps in s.recent only the messages to repeat.
func (s *Syslog) closeConn() {
	if s.conn == nil {
		return
	}
	brokeAt := time.Now()
	if closed, err := s.conn.hasEnded(); closed {
		brokeAt = s.conn.endedAt
		if _, reset := unacknowledged(s.conn.Conn); err == nil && !reset {
			s.recent = nil // the receiver has read all messages
		}
	}
	s.recent = slices.DeleteFunc(s.recent, func(m sentMessage) bool {
		return m.repeats >= maxRepeats || m.at.Before(brokeAt.Add(-recentTime)) // older ones count as read
	})
	_ = s.conn.SetDeadline(time.Now().Add(time.Second)) // for the TLS closing handshake
	_ = s.conn.Close()
	s.conn.reader.Wait()
	s.conn = nil
}

// remember keeps a message for a possible repeat.
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

// frame returns a message in the framing of the protocol.
func (s *Syslog) frame(m Message) []byte {
	text := s.encode(m)
	if s.cfg.Protocol == SyslogUDP {
		return text
	}

	return append([]byte(strconv.Itoa(len(text))+" "), text...)
}

// encode returns a message in the format of RFC 5424, section 6.
func (s *Syslog) encode(m Message) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "<%d>1 %s %s backburn %d %s - ",
		slices.Index(facilities, s.cfg.Facility)*8+m.Severity.Syslog,
		m.Time.UTC().Format("2006-01-02T15:04:05.000000Z"),
		headerField(s.cfg.Hostname, 255),
		os.Getpid(),
		headerField(m.Name, 32))
	if s.cfg.Format == format.CEF {
		b.Write(m.Body)
	} else {
		b.Write(escapeNonASCII(m.Body))
	}

	return b.Bytes()
}

// headerField returns a header field: visible ASCII, or "-" if it is empty.
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

// escapeNonASCII replaces all characters outside ASCII in JSON by escapes. A UTF-8 message would
// have to start with a byte order mark, which many receivers treat as part of the JSON.
func escapeNonASCII(body []byte) []byte {
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
