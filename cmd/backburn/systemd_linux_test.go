package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"backburn/internal/testkit"
)

// Under systemd the process reports that it is ready, alive, reloading and stopping.
func TestSystemdIsTold(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "notify") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { socket.Close() })
	if err := socket.SetReadDeadline(time.Now().Add(testkit.Patience)); err != nil {
		t.Fatal(err)
	}

	expect := func(want string) {
		t.Helper()
		for buf := make([]byte, 4096); ; {
			n, err := socket.Read(buf)
			if err != nil {
				t.Fatalf("systemd did not get %q: %v", want, err)
			}
			if got := string(buf[:n]); got == want || strings.HasSuffix(want, "=") && strings.HasPrefix(got, want) {
				return
			}
		}
	}

	s := testkit.NewSite(t)
	p := s.Start("env", "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=200000", "backburn", "run")
	expect("READY=1")
	for range 3 {
		expect("WATCHDOG=1")
	}

	p.Signal(syscall.SIGHUP)
	expect("RELOADING=1\nMONOTONIC_USEC=")
	expect("READY=1")
	p.Stop()
	expect("STOPPING=1")
}
