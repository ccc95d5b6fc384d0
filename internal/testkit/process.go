package testkit

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Process is a running program. Its standard error is read as log lines.
type Process struct {
	t    testing.TB
	name string
	cmd  *exec.Cmd
	out  strings.Builder // standard output; complete after the end of the process

	mu    sync.Mutex
	lines []string
	news  chan struct{} // closed and replaced at every line, and at the end
	gone  bool          // all that it wrote has been read
}

// Start starts a program from the PATH in the site's folder. At the end of the test it is killed if
// it still runs, and its output is shown if the test failed. A data race or a panic in it fails the
// test, and so does the client secret in its output.
func (s *Site) Start(name string, args ...string) *Process {
	s.t.Helper()
	p := &Process{t: s.t, name: name, cmd: exec.Command(name, args...), news: make(chan struct{})}
	p.cmd.Dir = s.Dir
	p.cmd.Env = append(os.Environ(), s.env...)
	p.cmd.Stdout = &p.out
	stderr := must(p.cmd.StderrPipe())(s.t)
	noError(s.t, p.cmd.Start())

	read := make(chan struct{})
	go func() { defer close(read); p.read(stderr) }()
	s.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-read
		_ = p.cmd.Wait() // its error is the exit code
		log := p.Stderr()
		switch {
		case strings.Contains(log+p.out.String(), secret):
			s.t.Errorf("%s shows the client secret", name)
		case strings.Contains(log, "DATA RACE"), strings.Contains(log, "panic:"):
			s.t.Errorf("%s has a data race, or panicked:\n%s", name, log)
		case s.t.Failed():
			s.t.Logf("%s wrote:\n%s", name, tail(log, 8000))
		}
	})

	return p
}

func tail(s string, n int) string {
	if len(s) > n {
		return "[…]" + s[len(s)-n:]
	}
	return s
}

func (p *Process) read(r io.Reader) {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		p.mu.Lock()
		if line != "" {
			p.lines = append(p.lines, line)
		}

		p.gone = err != nil
		close(p.news)
		p.news = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Stderr returns its standard error so far.
func (p *Process) Stderr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "")
}

// Ended reports whether the process has ended.
func (p *Process) Ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// Line is a line of the log.
type Line map[string]any

// Text is a field that is a string.
func (l Line) Text(field string) string { s, _ := l[field].(string); return s }

// Logged waits for the first log line with a message. The test fails if the process ends
// without it.
func (p *Process) Logged(message string) Line {
	p.t.Helper()
	l, err := p.WasLogged(message)
	if err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}

	return l
}

// WasLogged is Logged with an error if the process ends without the line.
func (p *Process) WasLogged(message string) (Line, error) {
	deadline := time.After(Patience)
	for at := 0; ; {
		p.mu.Lock()
		lines := p.lines[at:]
		news := p.news
		gone := p.gone
		p.mu.Unlock()
		at += len(lines)
		for _, text := range lines {
			var l Line
			if json.Unmarshal([]byte(text), &l) == nil && l.Text("message") == message {
				return l, nil
			}
		}

		if gone {
			return nil, fmt.Errorf("it ended without the line %q", message)
		}

		select {
		case <-news:
		case <-deadline:
			return nil, fmt.Errorf("the line %q was not logged", message)
		}
	}
}

// NATS returns the address of the server that the process has started.
func (p *Process) NATS() string { p.t.Helper(); return p.Logged("nats server is up").Text("url") }

// URL returns the URL of a page of the process's HTTP listener.
func (p *Process) URL(path string) string {
	p.t.Helper()
	return "http://" + p.Logged("serving health, metrics and status").Text("addr") + path
}

// Ask requests a page of the process's HTTP listener, and returns its status and body.
func (p *Process) Ask(path string) (status int, body string) {
	p.t.Helper()
	res, err := http.Get(p.URL(path))
	if err != nil {
		return 0, err.Error()
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err.Error()
	}

	return res.StatusCode, string(b)
}

// Until requests a page repeatedly until the answer is accepted.
func (p *Process) Until(path string, pleases func(status int, body string) bool) {
	p.t.Helper()
	var status int
	var body string
	if !poll(func() bool { status, body = p.Ask(path); return pleases(status, body) }) {
		p.t.Fatalf("%s: %s still answers %d: %s", p.name, path, status, body)
	}
}

// Until polls for a condition without a signal.
func (s *Site) Until(what string, ok func() bool) {
	s.t.Helper()
	if !poll(ok) {
		s.t.Fatalf("timed out waiting for: %s", what)
	}
}

// poll asks repeatedly, and reports whether the answer became true.
func poll(ok func() bool) bool {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(Patience); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			return false
		}
	}

	return true
}

// Signal sends a signal.
func (p *Process) Signal(sig os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatalf("%s: %v", p.name, err)
	}
}

// Kill ends it as a crash would, and waits.
func (p *Process) Kill() {
	p.t.Helper()
	p.Signal(syscall.SIGKILL)
	p.Wait()
}

// Wait waits for the end of the process and returns its exit code, -1 after a SIGKILL.
func (p *Process) Wait() int {
	p.t.Helper()
	deadline := time.After(Patience)
	for {
		p.mu.Lock()
		news, gone := p.news, p.gone
		p.mu.Unlock()
		if gone {
			break
		}

		select {
		case <-news:
		case <-deadline:
			p.t.Fatalf("%s does not end", p.name)
		}
	}

	err := p.cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok && !strings.Contains(err.Error(), "Wait was already called") {
		p.t.Fatalf("%s: %v", p.name, err)
	}

	return p.cmd.ProcessState.ExitCode()
}

// Stop sends SIGTERM, and requires the exit code for it.
func (p *Process) Stop() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	if code := p.Wait(); code != 143 {
		p.t.Errorf("%s: exit code %d after SIGTERM, want 143", p.name, code)
	}
}

// Stdout returns its standard output. Call it after Wait.
func (p *Process) Stdout() string { return p.out.String() }

// Fails requires that a process ends by itself with an exit code and an error text.
func Fails(t testing.TB, p *Process, code int, says string) {
	t.Helper()
	if got := p.Wait(); got != code {
		t.Errorf("%s: exit code %d, want %d", p.name, got, code)
	}
	if !strings.Contains(p.Stderr(), says) {
		t.Errorf("%s says %q, want %q", p.name, p.Stderr(), says)
	}
}

// NobodyAnswers requires that a program without a NATS server, or with rejected credentials, ends
// with the exit code for an unreachable service and says so.
func NobodyAnswers(t *testing.T, program string) {
	t.Helper()
	s := NewSite(t)
	s.Configure(Settings{"nats.url": "nats://127.0.0.1:1"})
	Fails(t, s.Start(program), 4, "no NATS server answers")
	s.Configure(Settings{"nats.url": StartNATS(t, &server.Options{Authorization: "another"}).ClientURL()})
	Fails(t, s.Start(program), 4, "the NATS server refuses the credentials")
}
