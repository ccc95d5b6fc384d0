package app_test

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"

	"backburn/internal/app"
	"backburn/internal/health"
)

// A process that stops before its parts were checked was never ready.
func TestAFailedStartIsNotReady(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	check(t, err)
	defer systemd.Close()
	t.Setenv("NOTIFY_SOCKET", path)

	parts := health.New(zerolog.Nop())
	parts.RequiredPart("queue", "")
	ended, end := context.WithCancel(t.Context())
	end()
	app.NotifySystemd(ended, ended, parts, zerolog.Nop())

	const last = "the end of the test"
	_, err = daemon.SdNotify(false, last)
	check(t, err)
	got := make([]byte, 100)
	n, err := systemd.Read(got)
	check(t, err)
	if string(got[:n]) != last {
		t.Errorf("systemd got %q", got[:n])
	}
}
