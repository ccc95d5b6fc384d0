package testkit

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Snippet returns the block of a document whose first line names a file, without that line.
func Snippet(t testing.TB, document, file string) string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "\n```") {
		_, body, _ := strings.Cut(block, "\n") // what language it is
		if first, rest, _ := strings.Cut(body, "\n"); i%2 == 1 && first == "# "+file {
			return rest + "\n"
		}
	}
	t.Fatalf("%s has no block that begins with %q", document, "# "+file)

	return ""
}

// Command returns the line in a block of a document that begins with a word.
func Command(t testing.TB, document, word string) []string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "\n```") {
		for line := range strings.Lines(block) {
			if i%2 == 1 && strings.HasPrefix(line, word+" ") {
				return strings.Fields(line)
			}
		}
	}
	t.Fatalf("%s has no command %q", document, word)

	return nil
}

// Block is a document's block that begins with a line.
func Block(t testing.TB, document, first string) string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "\n```") {
		_, body, _ := strings.Cut(block, "\n") // what language it is
		if i%2 == 1 && strings.HasPrefix(body, first+"\n") {
			return body
		}
	}
	t.Fatalf("%s has no block that begins with %q", document, first)

	return ""
}

// ShellLine is the line of a document's block that begins with a text, for a shell.
func ShellLine(t testing.TB, document, begin string) string {
	t.Helper()
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	for i, block := range strings.Split(string(text), "\n```") {
		for line := range strings.Lines(block) {
			if line = strings.TrimSpace(line); i%2 == 1 && strings.HasPrefix(line, begin) {
				return line
			}
		}
	}
	t.Fatalf("%s has no line that begins with %q", document, begin)

	return ""
}

// Programs requires foreign programs. If one is missing, the test is skipped, or fails in CI.
func Programs(t testing.TB, packages string, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		missing := "SKIPPED: " + name + " is not in PATH, so this recipe was not run (Debian: apt-get install " + packages + ")"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
}

// OpenDir returns a temporary folder with a short name that other users may read.
func OpenDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}

	return dir
}

// FreePort returns an unused port of this machine.
func FreePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

// Append adds text to the site's configuration.
func (s *Site) Append(text string) {
	s.t.Helper()
	before, err := os.ReadFile(s.Path("backburn.toml"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.WriteFile("backburn.toml", string(before)+"\n"+text)
}

// Foreign starts a foreign program that stays in the foreground, and waits until it listens. It is
// ended with the test; its output is shown if the test failed.
func (s *Site) Foreign(address string, command ...string) {
	s.t.Helper()
	out, err := os.Create(filepath.Join(s.t.(interface{ TempDir() string }).TempDir(), "out"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it ends its own children
		select {
		case <-ended:
		case <-time.After(Patience):
			s.t.Errorf("%s does not end", command[0])
			_ = cmd.Process.Kill()
			<-ended
		}
		if text, err := os.ReadFile(out.Name()); err == nil && s.t.Failed() {
			s.t.Logf("%s wrote:\n%s", command[0], text)
		}
		_ = out.Close()
	})
	s.Listens(address)
}

// Listens waits until there is a listener at an address.
func (s *Site) Listens(address string) {
	s.t.Helper()
	s.Until("a listener at "+address, func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}
