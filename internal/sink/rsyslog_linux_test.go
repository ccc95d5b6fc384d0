package sink_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"backburn/internal/sink"
	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
)

// freePort returns a TCP port on which nothing listens.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// rsyslog is a real rsyslogd with its own configuration.
type rsyslog struct {
	dir           string
	tls, tcp, udp int // ports
	cmd           *exec.Cmd
}

func newRsyslog(t *testing.T, a *testkit.Authority) *rsyslog {
	t.Helper()
	needs.Programs(t, "rsyslog rsyslog-gnutls", "rsyslogd")
	r := &rsyslog{dir: t.TempDir(), tls: freePort(t), tcp: freePort(t), udp: freePort(t)}
	cert, key := a.Certificate()
	conf := fmt.Sprintf(`
global(workDirectory=%[1]q maxMessageSize="64k"
  defaultNetstreamDriverCAFile=%[2]q defaultNetstreamDriverCertFile=%[3]q defaultNetstreamDriverKeyFile=%[4]q)
template(name="parsed" type="string" string="%%protocol-version%%|%%syslogfacility-text%%.%%syslogseverity-text%%|%%timereported:::date-rfc3339%%|%%hostname%%|%%app-name%%|%%msgid%%|%%structured-data%%|%%msg%%\n")
module(load="imudp")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1" streamDriver.authMode="anon")
module(load="imptcp")
ruleset(name="all") { action(type="omfile" file="%[1]s/out" template="parsed") }
input(type="imtcp" address="127.0.0.1" port="%[5]d" ruleset="all")
input(type="imptcp" address="127.0.0.1" port="%[6]d" ruleset="all")
input(type="imudp" address="127.0.0.1" port="%[7]d" ruleset="all")
`, r.dir, a.File, cert, key, r.tls, r.tcp, r.udp)
	if err := os.WriteFile(filepath.Join(r.dir, "conf"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	r.start(t)
	t.Cleanup(r.stop)
	return r
}

func (r *rsyslog) start(t *testing.T) {
	t.Helper()
	r.cmd = exec.Command("rsyslogd", "-n", "-f", filepath.Join(r.dir, "conf"), "-i", filepath.Join(r.dir, "pid"))
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "rsyslogd listens", func() bool {
		c, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", r.tcp))
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (r *rsyslog) stop() {
	_ = r.cmd.Process.Signal(syscall.SIGTERM)
	_ = r.cmd.Wait()
}

// lines returns the lines that rsyslogd wrote, in the format of its template.
func (r *rsyslog) lines() []string {
	b, _ := os.ReadFile(filepath.Join(r.dir, "out"))
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestRsyslogReceivesMessages(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	r := newRsyslog(t, a)
	for protocol, port := range map[string]int{sink.SyslogTLS: r.tls, sink.SyslogTCP: r.tcp, sink.SyslogUDP: r.udp} {
		s := newSyslog(t, fmt.Sprint("127.0.0.1:", port), protocol, func(c *sink.Config) {
			if protocol == sink.SyslogTLS {
				c.CAFile = a.File
			}
		})
		e := event("over-" + protocol)
		e.Data.Path = strings.Repeat("ordner/Ä|", 1000)
		m := message(t, e)
		if err := s.Send(t.Context(), m); err != nil {
			t.Fatal(protocol, err)
		}
		want := fmt.Sprintf(`1|local0.crit|%s|machine.example.com|backburn|verdict|-|`, e.Time.Format("2006-01-02T15:04:05.000000Z"))
		var got string
		waitFor(t, "the message over "+protocol+" has arrived", func() bool {
			i := slices.IndexFunc(r.lines(), func(l string) bool { return strings.Contains(l, "over-"+protocol+".verdict") })
			if i < 0 {
				return false
			}
			got = r.lines()[i]
			return true
		})
		if !strings.HasPrefix(got, strings.Replace(want, "Z|", "+00:00|", 1)) && !strings.HasPrefix(got, want) {
			t.Errorf("%s: %.200q, want %q", protocol, got, want)
		}
		if !strings.HasSuffix(got, "}}") || !strings.Contains(got, `\u00c4`) {
			t.Errorf("%s: the message is incomplete: …%q", protocol, got[max(0, len(got)-100):])
		}
	}
}

// A syslog server that is repeatedly restarted receives every event at least once.
func TestRestartedRsyslogReceivesEveryEvent(t *testing.T) {
	t.Parallel()
	a := testkit.NewAuthority(t)
	r := newRsyslog(t, a)
	js := stream(t)
	cfg := shortDelays(t)
	cfg.Kind = "syslog"
	start(t, js, cfg, newSyslog(t, fmt.Sprint("127.0.0.1:", r.tls), sink.SyslogTLS, func(c *sink.Config) { c.CAFile = a.File }))
	const rounds, each = 4, 25
	for round := range rounds {
		for i := range each {
			publish(t, js, fmt.Sprintf("job-%d-%d", round, i))
			if i == each/2 && round < rounds-1 {
				r.stop()
				r.start(t)
			}
		}
	}
	waitFor(t, "every event has arrived", func() bool {
		all := strings.Join(r.lines(), "\n")
		for round := range rounds {
			for i := range each {
				if !strings.Contains(all, fmt.Sprintf(`"job-%d-%d.verdict"`, round, i)) {
					return false
				}
			}
		}
		return true
	})
}
