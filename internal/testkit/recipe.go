package testkit

import (
	"iter"
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

// blocks yields the code blocks of a document, without the line that names the language.
func blocks(t testing.TB, document string) iter.Seq[string] {
	t.Helper()
	text := must(os.ReadFile(document))(t)

	return func(yield func(string) bool) {
		for i, block := range strings.Split(string(text), "\n```") {
			if _, body, _ := strings.Cut(block, "\n"); i%2 == 1 && !yield(body) {
				return
			}
		}
	}
}

// Snippet returns the block of a document whose first line names a file, without that line.
func Snippet(t testing.TB, document, file string) string {
	t.Helper()
	_, rest, _ := strings.Cut(Block(t, document, "# "+file), "\n")

	return rest + "\n"
}

// Block returns the block of a document that begins with a line.
func Block(t testing.TB, document, first string) string {
	t.Helper()
	for block := range blocks(t, document) {
		if strings.HasPrefix(block, first+"\n") {
			return block
		}
	}
	t.Fatalf("%s has no block that begins with %q", document, first)

	return ""
}

// Command returns the line in a block of a document that begins with a word.
func Command(t testing.TB, document, word string) []string {
	t.Helper()

	return strings.Fields(ShellLine(t, document, word+" "))
}

// ShellLine returns the line in a document's blocks that begins with a text, for a shell.
func ShellLine(t testing.TB, document, begin string) string {
	t.Helper()
	for block := range blocks(t, document) {
		for line := range strings.Lines(block) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, begin) {
				return line
			}
		}
	}

	t.Fatalf("%s has no line that begins with %q", document, begin)

	return ""
}

// OpenDir returns a temporary folder with a short name that other users may read.
func OpenDir(t testing.TB) string {
	t.Helper()
	dir := must(os.MkdirTemp("", "bb"))(t)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	noError(t, os.Chmod(dir, 0o755))

	return dir
}

// FreePort returns an unused port of this machine.
func FreePort(t testing.TB) string {
	t.Helper()

	return strconv.Itoa(freePorts(t, 1)[0])
}

// Append adds text to the site's configuration.
func (s *Site) Append(text string) {
	s.t.Helper()
	before := must(os.ReadFile(s.Path("backburn.toml")))(s.t)
	s.WriteFile("backburn.toml", string(before)+"\n"+text)
}

// Foreign starts a foreign program that stays in the foreground, and waits until it listens. It is
// ended with the test; its output is shown if the test failed.
func (s *Site) Foreign(address string, command ...string) {
	s.t.Helper()
	out := must(os.Create(filepath.Join(s.t.TempDir(), "out")))(s.t)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	noError(s.t, cmd.Start())

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
	Listening(s.t, command[0], address, ended)
}

// Listening waits until a program listens at an address. The test fails if the program, whose end
// closes gone, has ended; gone may be nil.
func Listening(t testing.TB, program, address string, gone <-chan struct{}) {
	t.Helper()
	ended := false
	listens := poll(func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			return true
		}

		select {
		case <-gone:
			ended = true
		default:
		}

		return ended
	})

	switch {
	case ended:
		t.Fatalf("%s has ended", program)
	case !listens:
		t.Fatalf("%s does not listen at %s", program, address)
	}
}
