//go:build unix

package sink_test

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/sink"
)

// A pipe that nobody reads would block the start without a word.
func TestDeadFileIsAPipe(t *testing.T) {
	t.Parallel()
	pipe := filepath.Join(t.TempDir(), "dead.jsonl")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}

	cfg := sink.Config{Name: "siem", Kind: sink.KindWebhook, DeadFile: pipe}
	_, err := sink.New(nil, cfg, nil, zerolog.Nop(), prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("got %v", err)
	}
}
