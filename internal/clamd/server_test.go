package clamd_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/clamd"
	"backburn/internal/guard"
	"backburn/internal/testkit"
	"backburn/internal/testkit/leaks"
	"backburn/pipeline"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

func TestMain(m *testing.M) {
	leaks.Main(m)
}

// site is a server with a queue.
type site struct {
	*testkit.Pipeline
	t    *testing.T
	addr net.Addr
	stop func() error
}

// serve starts a server, which guards some files; change may change its configuration.
func serve(t *testing.T, p *testkit.Pipeline, change func(*clamd.Config), own ...guard.Own) *site {
	t.Helper()
	cfg := clamd.DefaultConfig()
	cfg.Listen = "unix:" + filepath.Join(socketDir(t), "clamd.sock")
	cfg.Mode = "0600"
	cfg.Wait = testkit.Patience
	cfg.Unknown = clamd.UnknownError
	cfg.MaxStream = 3_000_000
	if change != nil {
		change(&cfg)
	}
	s, err := clamd.New(cfg, clamd.Deps{
		Judge:    p.Judge(),
		Guard:    guard.New(own),
		Registry: prometheus.NewRegistry(),
		Log:      zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, 10*time.Second) }()
	site := &site{Pipeline: p, t: t, addr: s.Addr()}
	site.stop = func() error {
		cancel()
		err := <-done
		done <- err
		return err
	}
	t.Cleanup(func() {
		if err := site.stop(); err != nil {
			t.Errorf("clamd: %v", err)
		}
	})

	return site
}

// socketDir returns a folder whose path is short enough for sockets.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	return dir
}

// client is a connection and its unread data.
type client struct {
	t testing.TB
	net.Conn
	in *bufio.Reader
}

func (s *site) dial() *client {
	s.t.Helper()
	c, err := net.Dial(s.addr.Network(), s.addr.String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * testkit.Patience)); err != nil {
		s.t.Fatal(err)
	}

	return &client{s.t, c, bufio.NewReader(c)}
}

func (c *client) send(parts ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, strings.Join(parts, "")); err != nil {
		c.t.Fatal(err)
	}
}

// reply reads one answer, up to its terminator.
func (c *client) reply(end byte) string {
	c.t.Helper()
	text, err := c.in.ReadString(end)
	if err != nil {
		c.t.Fatalf("%q: %v", text, err)
	}

	return strings.TrimSuffix(text, string(end))
}

// expectClosed checks that the server has closed the connection.
func (c *client) expectClosed() {
	c.t.Helper()
	if text, err := io.ReadAll(c.in); len(text) > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
		c.t.Errorf("got %q, %v; want the end of the connection", text, err)
	}
}

// ask sends a command on a new connection and returns the complete answer.
func (s *site) ask(parts ...string) string {
	s.t.Helper()
	c := s.dial()
	c.send(parts...)
	text, err := io.ReadAll(c.in)
	if err != nil {
		s.t.Fatalf("%q: %v", text, err)
	}

	return string(text)
}

// chunks encodes a stream in chunks of the given size.
func chunks(body string, size int) string {
	var b strings.Builder
	for len(body) > 0 {
		n := min(size, len(body))
		_ = binary.Write(&b, binary.BigEndian, uint32(n))
		b.WriteString(body[:n])
		body = body[n:]
	}
	b.WriteString("\x00\x00\x00\x00")

	return b.String()
}

func TestCommands(t *testing.T) {
	t.Parallel()
	s := serve(t, testkit.NewPipeline(t), nil)
	for ask, want := range map[string]string{
		"PING\n":                         "PONG\n",
		"ping\r\n":                       "PONG\n",
		"nPING\n":                        "PONG\n",
		"zPING\x00":                      "PONG\x00",
		"nRELOAD\n":                      "RELOADING\n",
		"zSHUTDOWN\x00":                  "UNKNOWN COMMAND\x00",
		"STREAM\n":                       "UNKNOWN COMMAND\n",
		"\n":                             "UNKNOWN COMMAND\n",
		"z\x00":                          "UNKNOWN COMMAND\x00",
		"GET / HTTP/1.1\r\n":             "UNKNOWN COMMAND\n",
		"nSCAN /etc/passwd\n":            "/etc/passwd: Access denied. ERROR\n",
		"nSCAN etc/passwd\n":             "etc/passwd: Access denied. ERROR\n",
		"zINSTREAM\x00" + chunks("", 1):  "stream: OK\x00",
		strings.Repeat("x", 9000) + "\n": "UNKNOWN COMMAND\n",
		"zIDSESSION\x00zPING\x00nRELOAD\nzEND\x00": "1: PONG\x002: RELOADING\n",
	} {
		if got := s.ask(ask); got != want {
			t.Errorf("%.40q: %q, want %q", ask, got, want)
		}
	}
	if got := s.ask("nVERSIONCOMMANDS\n"); !strings.Contains(got, "| COMMANDS: SCAN ") || !strings.Contains(got, " INSTREAM ") {
		t.Errorf("%q", got)
	}
	// c-icap and others parse these: engine, number of signatures, date.
	if got := s.ask("zVERSION\x00"); !regexp.MustCompile(`^ClamAV \d+\.\d+\.\d+/\d+/\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\x00$`).MatchString(got) {
		t.Errorf("%q", got)
	}
	if got := s.ask("zSTATS\x00"); !strings.HasPrefix(got, "POOLS: 1\n") || !strings.HasSuffix(got, "\nEND\x00") {
		t.Errorf("%q", got)
	}
}

// New contents are submitted and waited for, whichever way they arrive. The second time, the
// verdict is known.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	p.Work()
	s := serve(t, p, nil)
	large := strings.Repeat("0123456789abcdef", 130_000) // 2 MB: a file, and an object
	for body, want := range map[string]string{
		"MZ a":                               "OK",
		"MZ b wildfire-test:malware":         "WildFire.malware FOUND",
		"MZ c wildfire-test:grayware":        "WildFire.grayware FOUND",
		"MZ d wildfire-test:phishing":        "WildFire.phishing FOUND",
		"MZ e wildfire-test:malware" + large: "WildFire.malware FOUND",
		"MZ f" + large:                       "OK",
		"GIF wildfire-test:unsupported":      "WildFire has no verdict (unsupported_type). ERROR",
	} {
		for range 2 {
			if got := s.ask("zINSTREAM\x00", chunks(body, 70_000)); got != "stream: "+want+"\x00" {
				t.Errorf("%.30q: %q, want %q", body, got, want)
			}
		}
	}
	if n := p.WildFire.Count(wildfire.OpSubmitFile); n != 7 {
		t.Errorf("%d uploads, want 7", n)
	}
	for _, e := range p.Finals("clamd", 8) { // a known verdict creates no job; a refusal has no verdict
		if e.Data.Filename != "stream" || e.Data.Metadata["clamd-command"] != "instream" || !strings.HasPrefix(e.Data.JobID, "clamd-") {
			t.Errorf("%+v", e.Data)
		}
	}
}

// If there is no verdict in time, the configuration determines the answer. The contents are
// submitted in any case.
func TestUnknown(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	for unknown, want := range map[string]string{
		clamd.UnknownOK: "stream: OK\x00", clamd.UnknownFound: "stream: WildFire.unknown FOUND\x00",
		clamd.UnknownError: "stream: WildFire has no verdict (pending). ERROR\x00",
	} {
		s := serve(t, p, func(c *clamd.Config) { c.Wait, c.Unknown = 0, unknown })
		if got := s.ask("zINSTREAM\x00", chunks("MZ "+unknown, 100)); got != want {
			t.Errorf("%s: %q, want %q", unknown, got, want)
		}
	}
	p.Work()
	p.Finals("clamd", 3)
}

// A verdict that is too old is requested again.
func TestOldVerdictsDoNotCount(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	p.Work()
	s := serve(t, p, nil)
	for range 2 {
		if got := s.ask("zINSTREAM\x00", chunks("MZ old", 100)); got != "stream: OK\x00" {
			t.Errorf("%q", got)
		}
	}
	p.Forget()
	s = serve(t, p, nil)
	if got := s.ask("zINSTREAM\x00", chunks("MZ old", 100)); got != "stream: OK\x00" {
		t.Errorf("%q", got)
	}
	p.Finals("clamd", 2)
}

// Contents that could not be looked up or submitted are never answered with OK.
func TestQueueUnavailable(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	s := serve(t, p, func(c *clamd.Config) { c.Unknown = clamd.UnknownOK })
	testkit.StopNATS(p.NATS)
	if got := s.ask("zINSTREAM\x00", chunks("MZ away", 100)); got != "stream: the queue does not answer, or is full. ERROR\x00" {
		t.Errorf("%q", got)
	}
}

func TestStreamLimit(t *testing.T) {
	t.Parallel()
	s := serve(t, testkit.NewPipeline(t), func(c *clamd.Config) {
		c.MaxStream = 1000
		c.Wait = 0
		c.Unknown = clamd.UnknownOK
	})
	const exceeded = "INSTREAM size limit exceeded. ERROR"
	for name, tc := range map[string]struct{ body, want string }{
		"exactly":         {chunks(strings.Repeat("x", 1000), 300), "stream: OK"},
		"one more":        {chunks(strings.Repeat("x", 1001), 300), exceeded},
		"a chunk of 4 GB": {"\xff\xff\xff\xffxxx", exceeded},
		"much more":       {chunks(strings.Repeat("x", 200_000), 50_000), exceeded},
	} {
		if got := s.ask("nINSTREAM\n", tc.body); got != tc.want+"\n" {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

// A stream that exceeds the limit ends its session, but the commands that run are answered first.
func TestStreamLimitInASession(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	s := serve(t, p, func(c *clamd.Config) { c.MaxStream = 1000 })
	c := s.dial()
	c.send("zIDSESSION\x00", "zINSTREAM\x00", chunks("MZ wildfire-test:malware", 10), "zINSTREAM\x00", chunks(strings.Repeat("x", 1001), 300))
	if got := c.reply(0); got != "2: INSTREAM size limit exceeded. ERROR" {
		t.Errorf("%q", got)
	}
	p.Work()
	if got := c.reply(0); got != "1: stream: WildFire.malware FOUND" {
		t.Errorf("%q", got)
	}
	c.expectClosed()
}

// The commands of a session are answered as they finish, each with its number.
func TestSession(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	p.Work()
	s := serve(t, p, nil)
	c := s.dial()
	c.send("zIDSESSION\x00")
	want := map[string]bool{}
	for i := 1; i <= 20; i++ {
		body, answer := fmt.Sprintf("MZ %d", i), "OK"
		if i%2 == 0 {
			body, answer = body+" wildfire-test:malware", "WildFire.malware FOUND"
		}
		c.send("zINSTREAM\x00", chunks(body, 5))
		want[fmt.Sprintf("%d: stream: %s", i, answer)] = true
	}
	for range 20 {
		got := c.reply(0)
		if !want[got] {
			t.Errorf("%q", got)
		}
		delete(want, got)
	}
	c.send("zPING\x00")
	if got := c.reply(0); got != "21: PONG" {
		t.Errorf("%q", got)
	}
	c.send("zEND\x00")
	c.expectClosed()
}

// A stream that ends early is not submitted. A client that has closed its sending half gets its
// answer.
func TestHalfOpenClients(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	s := serve(t, p, func(c *clamd.Config) { c.Wait, c.Unknown = 0, clamd.UnknownOK })
	for _, begin := range []string{"z", "zINSTREAM", "zINSTREAM\x00", "zINSTREAM\x00\x00\x00", "zINSTREAM\x00\x00\x00\x00\x09MZ", "zIDSESSION\x00zINSTREAM\x00\x00\x00\x00\x01M"} {
		c := s.dial()
		c.send(begin)
		closeWrite(t, c)
		c.expectClosed()
	}
	c := s.dial()
	c.send("zINSTREAM\x00", chunks("MZ whole", 3))
	closeWrite(t, c)
	if got := c.reply(0); got != "stream: OK" {
		t.Errorf("%q", got)
	}
	st, err := p.Queue.Status(t.Context(), pipeline.DefaultConfig())
	if err != nil || st.Lanes[pipeline.Normal].Queued != 1 {
		t.Errorf("%+v, want the one job: %v", st.Lanes, err)
	}
}

func closeWrite(t *testing.T, c *client) {
	t.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

// If there are more clients than connections, they are served one after the other.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, testkit.NewPipeline(t), func(c *clamd.Config) { c.MaxConnections = 2 })
	first, second := s.dial(), s.dial()
	for _, c := range []*client{first, second} {
		c.send("zIDSESSION\x00zPING\x00")
		c.reply(0)
	}
	third := s.dial()
	third.send("zPING\x00")
	if err := third.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if b, err := third.in.ReadByte(); err == nil {
		t.Fatalf("a third connection is answered: %q", b)
	}
	_ = first.Close()
	if err := third.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
		t.Fatal(err)
	}
	if got := third.reply(0); got != "PONG" {
		t.Errorf("%q", got)
	}
}

// When the server stops, waiting clients get an answer, and idle connections are closed.
func TestStop(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	s := serve(t, p, nil)
	idle := s.dial()
	waiting := s.dial()
	halfSent := s.dial()
	idle.send("zIDSESSION\x00zPING\x00")
	idle.reply(0)
	halfSent.send("zINSTREAM\x00\x00\x00\x00\x09MZ")
	waiting.send("zINSTREAM\x00", chunks("MZ waits", 100))
	for {
		st, err := p.Queue.Status(t.Context(), pipeline.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		if st.Lanes[pipeline.Normal].Queued == 1 {
			break
		}
	}
	began := time.Now()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("stopping took %s, the whole grace period", took)
	}
	if got := waiting.reply(0); got != "stream: WildFire has no verdict (pending). ERROR" {
		t.Errorf("%q", got)
	}
	idle.expectClosed()
}

// WildFire takes a while to decide. The answer comes as soon as it has decided.
func TestWaitsForTheVerdict(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t, wildfiretest.WithDelay(500*time.Millisecond))
	p.Work()
	s := serve(t, p, nil)
	if got := s.ask("zINSTREAM\x00", chunks("MZ late wildfire-test:malware", 100)); got != "stream: WildFire.malware FOUND\x00" {
		t.Errorf("%q", got)
	}
}
