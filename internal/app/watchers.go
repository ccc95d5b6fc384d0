package app

import (
	"context"
	"encoding/hex"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
)

// startWatchers creates a watcher for each configured folder.
func (n *Node) startWatchers() error {
	for _, c := range n.cfg.Watch {
		w, err := watch.New(c, folderIntake{n.guarded(n.queue.Publisher())}, n.queue.Events().Outcomes(outcomesReader(c.Path)), n.queue.Objects(),
			watch.WithLogger(n.log), watch.WithMetrics(n.reg), watch.WithCatalog(n.queue), watch.WithHealth(n.health), watch.WithGuard(n.guard))
		if err != nil {
			return fmt.Errorf("watch %s: %w", c.Path, err)
		}
		n.watchers = append(n.watchers, w)
	}
	return nil
}

// folderIntake is the watch.Intake of the watchers: it submits their jobs.
type folderIntake struct{ publisher *queue.Publisher }

func (i folderIntake) Publish(ctx context.Context, j pipeline.Job) error {
	_, err := i.publisher.Submit(ctx, j, queue.Input{})

	return err
}

// outcomesReader returns the name under which a folder's watcher reads the final events of its
// jobs. It is a hash of the host name and the folder's absolute path, so a watcher that is
// restarted on the same host continues where it stopped.
func outcomesReader(path string) string {
	host, _ := os.Hostname()
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(host + "\x00" + abs))

	return hex.EncodeToString(h.Sum(nil))
}
