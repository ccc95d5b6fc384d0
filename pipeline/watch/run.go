package watch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"backburn/internal/rootfs"
	"backburn/pipeline"
	"backburn/pipeline/watch/settle"
)

// Run watches the folder until ctx ends, and returns nil once all its goroutines have ended. While
// the folder is missing or broken, Status shows it as failed, and Run tries to open it again. Run
// returns an error only if the folder or its configuration is unusable at the start (ErrUnusable);
// the error says what to do. Run must be called only once.
func (w *Watcher) Run(ctx context.Context) error {
	if runtime.GOOS == "linux" && !rootfs.SeesWriters() {
		w.log.Info().Str("path", w.path).Msgf("without CAP_LEASE, writers to other users' files cannot be detected; "+
			"those files wait %d times settle (systemd: AmbientCapabilities=CAP_LEASE)", settle.BlindFactor)
	}

	var wait time.Duration
	for first := true; ; first = false {
		began := time.Now()
		err := w.watch(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end of ctx is not an error
		}
		if errors.Is(err, ErrUnusable) && first {
			return fmt.Errorf("watch %s: %w", w.cfg.Path, err)
		}
		w.health.closed(w.path + ": " + err.Error())
		if time.Since(began) > time.Minute {
			wait = 0
		}
		wait = min(max(2*wait, 50*time.Millisecond), w.cfg.Scan, 10*time.Second)
		if pipeline.Sleep(ctx, wait) != nil {
			return nil //nolint:nilerr // the end of ctx is not an error
		}
	}
}
