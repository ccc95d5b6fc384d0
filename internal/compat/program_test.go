package compat_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"backburn/internal/testkit/needs"
)

// program returns the NATS server of a line of versions, such as "2.12". The module in servers/LINE
// says which version that is. Go builds the server once and keeps it in its cache.
func program(t *testing.T, line string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var stderr strings.Builder
	build := exec.CommandContext(ctx, "go", "tool", "-n", "nats-server")
	build.Dir = filepath.Join("servers", line)
	build.Env = append(os.Environ(), "GOFLAGS=")
	build.Stderr = &stderr
	file, err := build.Output()
	if err != nil {
		needs.CannotRun(t, "NATS server %s cannot be built, so nothing is known about it: %v\n%s", line, err, stderr.String())
	}

	return strings.TrimSpace(string(file))
}

var listening = regexp.MustCompile(`Listening for client connections on (127\.0\.0\.1:\d+)`)

// start runs a server with JetStream until the test ends, and returns its address.
func start(t *testing.T, line string) string {
	t.Helper()
	server := exec.CommandContext(t.Context(), program(t, line),
		"--addr", "127.0.0.1", "--port", "-1", "--jetstream", "--store_dir", t.TempDir())
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	server.WaitDelay = 10 * time.Second
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}

	ready, ended := make(chan string, 1), make(chan string, 1)
	go func() {
		var all strings.Builder
		address := ""
		for lines := bufio.NewScanner(log); lines.Scan(); {
			all.WriteString(lines.Text() + "\n")
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				address = m[1]
			}
			if strings.Contains(lines.Text(), "Server is ready") {
				ready <- address
			}
		}
		ended <- all.String()
	}()
	t.Cleanup(func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		<-ended
		_ = server.Wait()
	})
	select {
	case address := <-ready:
		return "nats://" + address
	case text := <-ended:
		ended <- text
		t.Fatalf("NATS server %s does not start:\n%s", line, text)
		return ""
	}
}
