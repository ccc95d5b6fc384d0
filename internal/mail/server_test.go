package mail_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-milter"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/mail"
	"backburn/internal/testkit"
	"backburn/internal/testkit/leaks"
)

func TestMain(m *testing.M) {
	leaks.Main(m)
}

// serve starts a filter and returns its address.
func serve(t *testing.T, p *testkit.Pipeline, change func(*mail.Config)) net.Addr {
	t.Helper()
	cfg := mail.DefaultConfig()
	cfg.Listen = "127.0.0.1:0"
	cfg.Wait = testkit.Patience
	cfg.MaxMessage = 1_000_000
	cfg.MaxParts = 4
	if change != nil {
		change(&cfg)
	}
	s, err := mail.New(cfg, mail.Deps{Judge: p.Judge(), Registry: prometheus.NewRegistry(), Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx, 10*time.Second) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("mail: %v", err)
		}
	})

	return s.Addr()
}

// dial connects like a mail server, ready to send mails.
func dial(t *testing.T, addr net.Addr) *milter.ClientSession {
	t.Helper()
	c := milter.NewClientWithOptions(addr.Network(), addr.String(), milter.ClientOptions{
		ReadTimeout:  2 * testkit.Patience,
		WriteTimeout: testkit.Patience,
		ActionMask:   milter.OptAddHeader | milter.OptChangeHeader | milter.OptQuarantine,
	})
	session, err := c.Session()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	mustContinue(t)(session.Conn("client.example.org", milter.FamilyInet, 25, "192.0.2.7"))

	return session
}

// mustContinue returns a function that checks that the filter continues with the mail.
func mustContinue(t *testing.T) func(*milter.Action, error) {
	return func(a *milter.Action, err error) {
		t.Helper()
		if err != nil || a.Code != milter.ActContinue {
			t.Fatalf("%+v, %v", a, err)
		}
	}
}

// send sends a mail and returns the response and the modifications in one line.
func send(t *testing.T, s *milter.ClientSession, parts ...string) string {
	t.Helper()
	if err := s.Macros(milter.CodeMail, "i", "QUEUE1"); err != nil {
		t.Fatal(err)
	}
	mustContinue(t)(s.Mail("bob@example.org", nil))
	for i := range 70 {
		mustContinue(t)(s.Rcpt(fmt.Sprintf("alice%d@mail.test", i), nil))
	}
	for _, f := range [][2]string{{"X-backburn", "clean"}, {"Message-ID", "<1@example.org>"}, {"X-Backburn", ""}, {"Content-Type", "multipart/mixed;\r\n\tboundary=BB"}} {
		mustContinue(t)(s.HeaderField(f[0], f[1]))
	}
	mustContinue(t)(s.HeaderEnd())
	body := ""
	for _, p := range parts {
		body += "--BB\r\nContent-Type: application/octet-stream\r\n\r\n" + p + "\r\n"
	}
	changes, act, err := s.BodyReadFrom(strings.NewReader(body + "--BB--\r\n"))
	if err != nil {
		t.Fatal(err)
	}

	line := string(act.Code)
	if act.Code == milter.ActReplyCode {
		line = fmt.Sprintf("%d %s", act.SMTPCode, act.SMTPText)
	}
	for _, c := range changes {
		line += fmt.Sprintf(" %c%d %s%s %s;", c.Code, c.HeaderIndex, c.HeaderName, c.HeaderValue, c.Reason)
	}

	return line
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	p.Work()
	const (
		bad  = "MZ wildfire-test:malware"
		good = "MZ good"
		odd  = "GIF wildfire-test:unsupported"
	)
	reject := dial(t, serve(t, p, nil)) // one connection for many mails
	hold := dial(t, serve(t, p, func(c *mail.Config) { c.Malicious, c.Unknown = mail.MaliciousQuarantine, mail.UnknownTempfail }))
	mark := dial(t, serve(t, p, func(c *mail.Config) { c.Malicious = mail.MaliciousHeader }))
	const removed = "c m2 X-Backburn ; m1 X-Backburn ; h0 X-Backburn"
	for _, tc := range []struct {
		name  string
		s     *milter.ClientSession
		parts []string
		want  []string
	}{
		{"malicious", reject, []string{good, bad}, []string{"550 5.7.1 Attachment refused: malware (mail-"}},
		{"the next mail", reject, []string{good}, []string{removed + "clean; attachments=1; malicious=0; pending=0; unjudged=0; id=mail-"}},
		{"no attachment", reject, nil, []string{removed + "none; attachments=0;"}},
		{"an empty attachment", reject, []string{""}, []string{removed + "none; attachments=0;"}},
		{"not for WildFire", hold, []string{odd, good}, []string{removed + "unknown; attachments=2; malicious=0; pending=0; unjudged=1;"}},
		{"four attachments", reject, []string{"1", "2", "3", "4"}, []string{removed + "clean; attachments=4;"}},
		{"too many", reject, []string{"1", "2", "3", "4", "5"}, []string{"554 5.6.0 More than 4 attachments"}},
		{"too large", reject, []string{strings.Repeat("x", 1_000_000)}, []string{"552 5.3.4 Message too large"}},
		{"after that", reject, []string{good}, []string{removed + "clean; attachments=1;"}},
		{"held", hold, []string{bad}, []string{removed + "malicious; attachments=1; malicious=1;", "; verdict=malware ;", " q0  Backburn: malware (mail-"}},
		{"marked", mark, []string{bad}, []string{removed + "malicious; attachments=1; malicious=1;", "; verdict=malware ;"}},
	} {
		got := send(t, tc.s, tc.parts...)
		for i, want := range tc.want {
			if i == 0 && !strings.HasPrefix(got, want) || !strings.Contains(got, want) {
				t.Errorf("%s: %q, want %q", tc.name, got, want)
			}
		}
		if tc.name == "marked" && strings.Contains(got, " q") {
			t.Errorf("held: %q", got)
		}
	}

	e := p.Finals("mail", 1)[0]
	m := e.Data.Metadata
	if m["sender"] != "bob@example.org" || !strings.HasPrefix(m["recipients"], "alice0@mail.test,alice1@") || !strings.HasSuffix(m["recipients"], ",+6") && len(m["recipients"]) < 500 ||
		m["message-id"] != "<1@example.org>" || m["queue-id"] != "QUEUE1" || m["client"] != "192.0.2.7" || m["part"] == "" || !strings.HasPrefix(e.Data.JobID, m["mail"]+"-") {
		t.Errorf("%+v", e.Data)
	}
}

// The limit of header fields is that of a mail, not of a connection.
func TestManyLargeHeaders(t *testing.T) {
	t.Parallel()
	s := dial(t, serve(t, testkit.NewPipeline(t), nil))
	for range 6 {
		mustContinue(t)(s.Mail("bob@example.org", nil))
		mustContinue(t)(s.HeaderField("X-Large", strings.Repeat("x", 900_000)))
		mustContinue(t)(s.HeaderEnd())
		if _, act, err := s.BodyReadFrom(strings.NewReader("text\r\n")); err != nil || act.Code != milter.ActContinue {
			t.Fatalf("%+v, %v", act, err)
		}
	}
	mustContinue(t)(s.Mail("bob@example.org", nil))
	for range 6 {
		if _, err := s.HeaderField("X-Large", strings.Repeat("x", 900_000)); err != nil {
			return
		}
	}
	t.Error("a mail with a header of 5.4 MB was accepted")
}

// Without waiting, a mail passes unless an attachment is already known to be malicious.
func TestNoWait(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	passes := dial(t, serve(t, p, func(c *mail.Config) { c.Wait = 0 }))
	later := dial(t, serve(t, p, func(c *mail.Config) { c.Wait, c.Unknown = 0, mail.UnknownTempfail }))
	if got := send(t, passes, "MZ wildfire-test:malware"); !strings.Contains(got, "unknown; attachments=1; malicious=0; pending=1;") {
		t.Errorf("%q", got)
	}
	if got := send(t, later, "MZ wildfire-test:malware"); !strings.HasPrefix(got, "451 4.7.1 No verdict") {
		t.Errorf("%q", got)
	}
	p.Work()
	p.Finals("mail", 2)
	if got := send(t, passes, "MZ wildfire-test:malware"); !strings.HasPrefix(got, "550 5.7.1") {
		t.Errorf("%q", got)
	}
}

// A mail whose attachments cannot be submitted is refused temporarily.
func TestQueueUnavailable(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	s := dial(t, serve(t, p, nil))
	testkit.StopNATS(p.NATS)
	if got := send(t, s, "MZ"); !strings.HasPrefix(got, "451 4.3.0") {
		t.Errorf("%q", got)
	}
}

// Clients that do not speak milter, or send too much, are disconnected, and others are served.
func TestHostilePeers(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	p.Work()
	addr := serve(t, p, nil)
	field := "\x00\x00\x40\x00Lx\x00" + strings.Repeat("y", 0x4000-3)
	for name, bytes := range map[string]string{
		"HTTP":             "GET / HTTP/1.1\r\n\r\n",
		"4 GB":             "\xff\xff\xff\xffO",
		"nothing":          "\x00\x00\x00\x00",
		"half a connect":   "\x00\x00\x00\x02Cx",
		"an empty connect": "\x00\x00\x00\x01C",
		"an empty macro":   "\x00\x00\x00\x01D",
		"endless fields":   strings.Repeat(field, 2000), // 32 MB
		"unknown":          "\x00\x00\x00\x01?",
	} {
		c, err := net.Dial(addr.Network(), addr.String())
		if err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = c.Write([]byte(bytes)) }()
		if err := c.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		for err == nil {
			_, err = c.Read(buf)
		}
		if os.IsTimeout(err) {
			t.Errorf("%s: not disconnected", name)
		}
		_ = c.Close()
	}
	if got := send(t, dial(t, addr), "MZ good"); !strings.Contains(got, "clean; attachments=1;") {
		t.Errorf("%q", got)
	}
}
