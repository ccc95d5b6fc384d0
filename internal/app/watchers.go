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

func (n *Node) startWatchers() error {
	for _, c := range n.cfg.Watch {
		w, err := watch.New(c, folderIntake{n.publisher(n.queue.Publisher())}, n.queue.Events().Outcomes(readerOf(c.Path)), n.queue.Objects(),
			watch.WithLogger(n.log), watch.WithMetrics(n.reg), watch.WithCatalog(n.queue.Inspector()), watch.WithHealth(n.health), watch.WithGuard(n.guard))
		if err != nil {
			return fmt.Errorf("watch %s: %w", c.Path, err)
		}
		n.watchers = append(n.watchers, w)
	}
	return nil
}

// folderIntake submits the jobs of watchers.
type folderIntake struct{ publisher *queue.Publisher }

func (i folderIntake) Publish(ctx context.Context, j pipeline.Job) error {
	_, err := i.publisher.Submit(ctx, j, queue.Content{})

	return err
}

// readerOf returns the name of the durable that reads a folder's events. It is the same for all
// watchers of this folder on this machine, and for no others.
func readerOf(path string) string {
	host, _ := os.Hostname()
	abs, err := filepath.Abs(path)
	if err != nil {
		abs = path
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(host + "\x00" + abs))

	return hex.EncodeToString(h.Sum(nil))
}
