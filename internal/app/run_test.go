package app_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/app"
	"backburn/internal/config"
	"backburn/internal/natsd"
)

// If the HTTP listener fails, the process ends with its error, instead of going on unseen.
func TestAFailedListenerEndsTheProcess(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir = filepath.Join(t.TempDir(), "nats")
	cfg.NATS.Embedded.SyncAlways = false
	cfg.HTTP.Listen, cfg.Watch = "127.0.0.1:0", nil
	server, err := natsd.Start(t.Context(), cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	cfg.NATS = server.NATS()
	n, err := app.Start(t.Context(), cfg, app.Roles{Sinks: true, NATS: server}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.CloseHTTP()
	if err := <-done; err == nil || !strings.HasPrefix(err.Error(), "http: ") || ctx.Err() != nil {
		t.Errorf("got %v, %v", err, ctx.Err())
	}
}
