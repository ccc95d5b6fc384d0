package app

import (
	"fmt"
	"maps"
	"path/filepath"

	"github.com/rs/zerolog"

	"backburn/internal/config"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// UserAgent is the User-Agent header of requests to WildFire, the token services and webhooks.
const UserAgent = "backburn/1"

// Topology returns the settings of the queue.
func Topology(c config.Config) queue.Topology {
	t := queue.Topology{
		Prefix:    c.NATS.Prefix,
		Domain:    c.NATS.Domain,
		Replicas:  c.NATS.Replicas,
		Lease:     c.Pipeline.Lease,
		Results:   c.Results,
		Queue:     c.Queue,
		Dead:      c.Dead,
		Simulated: c.Pipeline.Simulated,
	}
	if c.Pipeline.Reporting() {
		t.ReportsMaxAge = c.Pipeline.ReportMaxAge
		t.ReportsMaxBytes = c.Pipeline.ReportMaxBytes
	}

	return t
}

// fitToStore reduces a topology's limits so that they fit into the embedded server's store, whose
// size is in bytes. JetStream reserves the limit of each stream, and refuses a stream if the sum
// exceeds its store. Each stream therefore gets at most a part of the store.
func fitToStore(t queue.Topology, storeSize int64, log zerolog.Logger) queue.Topology {
	reduced := zerolog.Dict()
	isReduced := false
	for _, l := range []struct {
		key   string
		limit *int64
		parts int64 // the limit is at most the store's size divided by this
	}{
		{"results.max_bytes", &t.Results.MaxBytes, 2},
		{"queue.jobs_max_bytes", &t.Queue.JobsMaxBytes, 8},
		{"queue.ledger_max_bytes", &t.Queue.LedgerMaxBytes, 8},
		{"queue.files_max_bytes", &t.Queue.FilesMaxBytes, 8},
		{"dead_letters.max_bytes", &t.Dead.MaxBytes, 16},
		{"reports.max_bytes", &t.ReportsMaxBytes, 32},
	} {
		if most := storeSize / l.parts; *l.limit > most {
			*l.limit = most
			reduced.Stringer(l.key, config.Size(most))
			isReduced = true
		}
	}

	if isReduced {
		log.Warn().Dict("now", reduced).Msg("the store of the embedded nats server is too small for these limits, so they are lower")
	}

	return t
}

// WorkerConfig returns the settings of the worker. A folder that is watched on this machine is the
// root of its source, unless worker.roots names another one.
func WorkerConfig(c config.Config) (pipeline.Config, error) {
	p := c.Pipeline
	p.Roots, p.MaxFileSizes = map[string]string{}, map[string]int64{}
	for _, w := range c.Watch {
		p.Roots[w.Source] = w.Path
		p.MaxFileSizes[w.Source] = w.MaxFileSize
	}

	maps.Copy(p.Roots, c.Pipeline.Roots)

	for source, root := range p.Roots {
		abs, err := filepath.Abs(root)
		if err != nil {
			return p, fmt.Errorf("folder of source %s: %w", source, err)
		}
		p.Roots[source] = abs
	}

	return p, p.Validate()
}

// WildFireConfig returns the settings of the WildFire client, without the transport.
func WildFireConfig(c config.Config) wildfire.Config {
	w := c.WildFire.Client
	w.UserAgent = UserAgent
	w.APIKey = c.Auth[c.WildFire.Auth].Kind.FormField()
	w.MaxFileSize = 0 // the worker enforces the limit of each source

	return w
}
