package sink_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"backburn/internal/sink"
	"backburn/internal/sink/format"
	"backburn/internal/testkit"
)

// receiver is a syslog server that collects the messages that it reads. Tests decide what it does
// with each connection.
type receiver struct {
	net.Listener
	t *testing.T

	mu       sync.Mutex
	messages []string
	wg       sync.WaitGroup
}

// newReceiver starts a receiver. handle is called with each connection and its number, from 0; nil
// reads all messages.
func newReceiver(t *testing.T, cfg *tls.Config, handle func(*receiver, net.Conn, int)) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if cfg != nil {
		l = tls.NewListener(l, cfg)
	}
	s := &receiver{Listener: l, t: t}
	ctx, cancel := context.WithCancel(context.Background())
	s.wg.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { c.Close() })
			s.wg.Go(func() {
				defer stop()
				defer c.Close()
				if handle != nil {
					handle(s, c, n)
					return
				}
				s.read(c, -1)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		l.Close()
		s.wg.Wait()
	})
	return s
}

// read reads n messages; -1 reads until the connection ends.
func (s *receiver) read(c net.Conn, n int) {
	r := bufio.NewReader(c)
	for ; n != 0; n-- {
		length, err := r.ReadString(' ')
		if err != nil {
			return
		}
		size, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		if err != nil || size <= 0 || length[0] == '0' {
			s.t.Errorf("a frame of length %q", length)
			return
		}
		text := make([]byte, size)
		if _, err := io.ReadFull(r, text); err != nil {
			return
		}
		s.mu.Lock()
		s.messages = append(s.messages, string(text))
		s.mu.Unlock()
	}
}

func (s *receiver) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.messages)
}

// rfc5424 matches the messages of this sink.
var rfc5424 = regexp.MustCompile(`^<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) ([!-~]{1,255}) backburn \d+ ([!-~]{1,32}) - (.*)$`)

// jobs returns the jobs in the JSON messages, each once, in order of arrival.
func (s *receiver) jobs() []string {
	list := []string{}
	for _, m := range s.got() {
		parts := rfc5424.FindStringSubmatch(m)
		if parts == nil {
			s.t.Errorf("not a message: %q", m)
			continue
		}
		var e struct {
			Data struct {
				JobID string `json:"job_id"`
			}
		}
		if err := json.Unmarshal([]byte(parts[5]), &e); err != nil {
			s.t.Errorf("%q: %v", parts[5], err)
		}
		if !slices.Contains(list, e.Data.JobID) {
			list = append(list, e.Data.JobID)
		}
	}
	return list
}

func newSyslog(t *testing.T, address, protocol string, change func(*sink.Config)) *sink.Syslog {
	t.Helper()
	cfg := sink.Config{
		Address:  address,
		Protocol: protocol,
		Facility: "local0",
		Format:   format.CloudEvents,
		Hostname: "machine.example.com",
	}
	if change != nil {
		change(&cfg)
	}
	s, err := sink.NewSyslog(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSyslogMessagesFollowRFC5424(t *testing.T) {
	t.Parallel()
	srv := newReceiver(t, nil, nil)
	e := event("a")
	e.Time = time.Date(2026, 11, 21, 9, 0, 0, 1_000, time.FixedZone("", 3600))
	e.Data.Filename = "Rechnung für Ängste 😀 \"x\".exe"
	m := message(t, e)
	send := func(f format.Name, host string) {
		var err error
		m.Body, err = f.Encode(m.Event, "1")
		if err != nil {
			t.Fatal(err)
		}
		s := newSyslog(t, srv.Addr().String(), sink.SyslogTCP, func(c *sink.Config) { c.Format, c.Hostname = f, host })
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	send(format.CloudEvents, "machine.example.com")
	send(format.CEF, "two words")
	waitFor(t, "both messages have arrived", func() bool { return len(srv.got()) == 2 })

	parts := rfc5424.FindStringSubmatch(srv.got()[0])
	if parts == nil || parts[1] != "130" || parts[2] != "2026-11-21T08:00:00.000001Z" || parts[3] != "machine.example.com" || parts[4] != "verdict" {
		t.Fatalf("%q", srv.got()[0])
	}
	for _, r := range parts[5] {
		if r > 127 {
			t.Fatalf("not ASCII: %q", parts[5])
		}
	}
	var got struct{ Data struct{ Filename string } }
	if err := json.Unmarshal([]byte(parts[5]), &got); err != nil || got.Data.Filename != e.Data.Filename {
		t.Errorf("%q %v", got.Data.Filename, err)
	}
	parts = rfc5424.FindStringSubmatch(srv.got()[1])
	if parts == nil || parts[3] != "twowords" || !strings.HasPrefix(parts[5], "CEF:0|Backburn|") || !strings.Contains(parts[5], "für Ängste 😀") {
		t.Errorf("%q", srv.got()[1])
	}
}

// Whichever way a receiver breaks its connections, it gets every event that a later connection can
// deliver.
func TestSyslogReceiversThatBreakConnectionsGetEveryEvent(t *testing.T) {
	t.Parallel()
	const n = 12
	for name, handle := range map[string]func(*receiver, net.Conn, int){
		"closes before it reads": func(s *receiver, c net.Conn, n int) {
			if n > 1 {
				s.read(c, -1)
			}
		},
		"closes after each message": func(s *receiver, c net.Conn, _ int) { s.read(c, 1) },
		"resets after each message": func(s *receiver, c net.Conn, _ int) {
			s.read(c, 1)
			_ = c.(*net.TCPConn).SetLinger(0)
		},
		"answers": func(s *receiver, c net.Conn, _ int) {
			go func() { _, _ = c.Write([]byte(strings.Repeat("HTTP/1.1 400 Bad Request\r\n", 10_000))) }()
			s.read(c, -1)
		},
		"discards what it reads, and closes": func(s *receiver, c net.Conn, n int) {
			if n == 0 {
				_, _ = io.CopyN(io.Discard, c, 1000)
				return
			}
			s.read(c, -1)
		},
		"reads nothing at first": func(s *receiver, c net.Conn, n int) {
			if n > 0 {
				s.read(c, -1)
				return
			}
			_, _ = io.Copy(io.Discard, io.LimitReader(c, 1))
			<-s.t.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			js := stream(t)
			srv := newReceiver(t, nil, handle)
			cfg := shortDelays(t)
			cfg.Kind, cfg.Timeout = "syslog", 2*time.Second
			r := start(t, js, cfg, newSyslog(t, srv.Addr().String(), sink.SyslogTCP, nil))
			var want []string
			for i := range n {
				want = append(want, fmt.Sprint("job-", i))
			}
			publish(t, js, want...)
			if name == "resets after each message" { // a reset does not show whether the message was read, so the same message is sent again
				waitFor(t, "the first event has arrived several times", func() bool { return len(srv.got()) > 3 })
				if s := r.Status(); len(srv.jobs()) != 1 || s.State != sink.StateRetrying {
					t.Errorf("%q, %+v", srv.jobs(), s)
				}
				return
			}
			if name == "reads nothing at first" { // the kernel buffers all messages; they are sent again after the receiver closes the connection
				waitFor(t, "all events are sent", func() bool { return r.count(t, "backburn_sink_events_total", "sent") == n })
				return
			}
			waitFor(t, "every event has arrived", func() bool {
				if got := srv.jobs(); len(got) == n {
					return true
				}
				if r.count(t, "backburn_sink_events_total", "sent") >= n {
					publish(t, js, "job-0") // in case the receiver closed the connection after the last event
				}
				return false
			})
			if dead := deadLetters(t, cfg.DeadFile); len(dead) > 0 {
				t.Errorf("dead letters %q", dead)
			}
		})
	}
}

// If a receiver accepts no bytes, Send must neither wait forever nor count the event as delivered.
func TestSendToAStalledReceiverTimesOut(t *testing.T) {
	t.Parallel()
	srv := newReceiver(t, nil, func(s *receiver, c net.Conn, _ int) { <-s.t.Context().Done() })
	s := newSyslog(t, srv.Addr().String(), sink.SyslogTCP, nil)
	m := message(t, event("a"))
	m.Body = []byte(`"` + strings.Repeat("x", 32<<20) + `"`) // more than the buffers of both kernels
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	f, ok := errors.AsType[*sink.Fault](s.Send(ctx, m))
	if !ok || f.Kind != sink.Unavailable {
		t.Errorf("got %+v", f)
	}
}

func TestSyslogTLSVerifiesBothSides(t *testing.T) {
	t.Parallel()
	ours, others := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, key := ours.Certificate()
	foreign, foreignKey := others.Certificate()
	plain := newReceiver(t, nil, func(_ *receiver, c net.Conn, _ int) {
		_, _ = c.Write([]byte("220 mail.example.com ESMTP\r\n"))
		_, _ = io.Copy(io.Discard, c)
	})
	anyClient := newReceiver(t, ours.ServerTLS(false), nil)
	certRequired := newReceiver(t, ours.ServerTLS(true), nil)
	for name, tc := range map[string]struct {
		srv   *receiver
		files sink.TLSFiles
		want  sink.Kind
	}{
		"trusted":               {anyClient, sink.TLSFiles{CAFile: ours.File}, ""},
		"with a certificate":    {certRequired, sink.TLSFiles{CAFile: ours.File, CertFile: cert, KeyFile: key}, ""},
		"not trusted":           {anyClient, sink.TLSFiles{CAFile: others.File}, sink.Misconfigured},
		"system authorities":    {anyClient, sink.TLSFiles{}, sink.Misconfigured},
		"without a certificate": {certRequired, sink.TLSFiles{CAFile: ours.File}, sink.Misconfigured},
		"another certificate":   {certRequired, sink.TLSFiles{CAFile: ours.File, CertFile: foreign, KeyFile: foreignKey}, sink.Misconfigured},
		"no TLS":                {plain, sink.TLSFiles{CAFile: ours.File}, sink.Misconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSyslog(t, tc.srv.Addr().String(), sink.SyslogTLS, func(c *sink.Config) { c.TLSFiles = tc.files })
			err := s.Send(t.Context(), message(t, event(strings.ReplaceAll(name, " ", "-"))))
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				waitFor(t, "the message has arrived", func() bool { return slices.Contains(tc.srv.jobs(), strings.ReplaceAll(name, " ", "-")) })
				return
			}
			f, ok := errors.AsType[*sink.Fault](err)
			if !ok || f.Kind != tc.want || f.Remedy == "" {
				t.Errorf("got %v, %+v", err, f)
			}
		})
	}
}

func TestSyslogUDPSendsOneDatagramPerEvent(t *testing.T) {
	t.Parallel()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newSyslog(t, l.LocalAddr().String(), sink.SyslogUDP, nil)
	if err := s.Send(t.Context(), message(t, event("a"))); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64<<10)
	if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	n, _, err := l.ReadFrom(b)
	if err != nil || !rfc5424.Match(b[:n]) {
		t.Errorf("%q %v", b[:n], err)
	}

	// A message that does not fit is a fault of that event.
	m := message(t, event("b"))
	m.Body = []byte(`"` + strings.Repeat("x", 66_000) + `"`)
	f, ok := errors.AsType[*sink.Fault](s.Send(t.Context(), m))
	if !ok || f.Kind != sink.Refused {
		t.Errorf("got %+v", f)
	}
}

// The sink waits for a receiver that is not running yet.
func TestSyslogReceiverThatIsNotRunningIsUnavailable(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	s := newSyslog(t, address, sink.SyslogTCP, nil)
	f, ok := errors.AsType[*sink.Fault](s.Send(t.Context(), message(t, event("a"))))
	if !ok || f.Kind != sink.Unavailable {
		t.Errorf("got %+v", f)
	}
}
