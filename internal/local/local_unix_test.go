//go:build unix

package local_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"backburn/internal/local"
)

func socket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bb")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })

	return filepath.Join(dir, "s")
}

func listen(t *testing.T, path string, limit int) *local.Listener {
	t.Helper()
	l, err := local.Listen(local.Config{Listen: "unix:" + path, Mode: "0620", MaxConnections: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })

	return l
}

func TestSocketHasItsMode(t *testing.T) {
	t.Parallel()
	path := socket(t)
	l := listen(t, path, 1)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != os.ModeSocket|0o620 {
		t.Errorf("%v: %v", info, err)
	}
	if l.Addr().String() != path {
		t.Errorf("%s", l.Addr())
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) > 0 {
		t.Errorf("left over: %v: %v", left, err)
	}
}

// A socket whose process was killed is replaced. A socket with a live process, and a file that is
// not a socket, are not.
func TestStaleSocket(t *testing.T) {
	t.Parallel()
	path := socket(t)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	cfg := local.Config{Listen: "unix:" + path, Mode: "0600", MaxConnections: 1}
	if l, err := local.Listen(cfg); !errors.Is(err, local.ErrListen) {
		t.Fatalf("while another process listens: %v, %v", l, err)
	}
	_ = stale.Close()
	first := listen(t, path, 1)
	_ = first.Close()

	if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := local.Listen(cfg); !errors.Is(err, local.ErrListen) {
		t.Fatalf("in place of a file: %v, %v", l, err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "a file" {
		t.Errorf("%q, %v", b, err)
	}
}

// The socket of another process is not removed.
func TestCloseLeavesTheNextOne(t *testing.T) {
	t.Parallel()
	path := socket(t)
	first := listen(t, path, 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	second := listen(t, path, 1)
	_ = first.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Error(err)
	}
	_ = second.Close()
}

func TestLimitAndDrain(t *testing.T) {
	t.Parallel()
	path := socket(t)
	l := listen(t, path, 2)
	var ours []net.Conn
	for range 2 {
		if _, err := net.Dial("unix", path); err != nil {
			t.Fatal(err)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		ours = append(ours, c)
	}
	third, err := net.Dial("unix", path) // in the backlog
	if err != nil {
		t.Fatal(err)
	}
	defer third.Close()
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	_ = ours[0].Close()
	_ = ours[0].Close() // frees only one slot
	if err := <-accepted; err != nil || l.Open() != 2 {
		t.Errorf("%d open: %v", l.Open(), err)
	}
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	_ = l.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}

	// A blocked read is interrupted. A connection that is not closed in time is closed by Drain.
	read := make(chan error, 1)
	go func() {
		_, err := ours[1].Read(make([]byte, 1))
		read <- err
	}()
	l.Interrupt()
	if err := <-read; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if err := ours[1].SetReadDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if _, err := ours[1].Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a new deadline: %v", err)
	}
}

func TestDrainClosesAtLast(t *testing.T) {
	t.Parallel()
	path := socket(t)
	l := listen(t, path, 1)
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ours, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = ours.Read(make([]byte, 1)) // until it is closed
		_ = ours.Close()
	}()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	l.Drain(ctx)
	if l.Open() != 0 {
		t.Errorf("%d open", l.Open())
	}
}
