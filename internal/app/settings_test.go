package app

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"backburn/internal/config"
)

// On a small disk the streams fit into the store, and the log says which limits are lower than
// configured. On a large disk they are as configured.
func TestFitToStore(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log := zerolog.New(&out)
	configured := Topology(config.Default())
	if got := fitToStore(configured, 1<<40, log); got != configured || out.Len() > 0 {
		t.Errorf("on a large disk: %+v; logged %s", got, out.String())
	}

	const store = 4 << 30
	got := fitToStore(configured, store, log)
	sum := got.Results.MaxBytes + got.Queue.JobsMaxBytes + got.Queue.LedgerMaxBytes + got.Queue.FilesMaxBytes +
		got.Dead.MaxBytes + got.ReportsMaxBytes
	if sum > store || got.Queue.JobsMaxBytes != 512<<20 {
		t.Errorf("%d MiB in a store of %d MiB: %+v", sum>>20, store>>20, got)
	}
	for _, want := range []string{`"results.max_bytes":"2GiB"`, `"queue.jobs_max_bytes":"512MiB"`, `"dead_letters.max_bytes":"256MiB"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s is not in %s", want, out.String())
		}
	}
}
