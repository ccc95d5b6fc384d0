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

// UserAgent is sent to WildFire and the token services.
const UserAgent = "backburn/1"

// Topology returns the settings of the queue.
func Topology(c config.Config) queue.Topology {
	t := queue.Topology{
		Prefix:    c.NATS.Prefix,
		Domain:    c.NATS.Domain,
		Replicas:  c.NATS.Replicas,
		Lease:     c.Pipeline.Lease,
		Results:   c.Results,
		Dead:      c.Dead,
		Simulated: c.Pipeline.Simulated,
	}
	if c.Pipeline.Reporting() {
		t.ReportsMaxAge = c.Pipeline.ReportMaxAge
		t.ReportsMaxBytes = c.Pipeline.ReportMaxBytes
	}

	return t
}

// Streams reserve their limits, and the server refuses more than its store can hold. On a small
// disk RESULTS gets at most half of the store, and the other streams a part of the rest.
const (
	resultsShare = 2
	jobsShare    = 8
	ledgerShare  = 8
	filesShare   = 8
	deadShare    = 16
	reportsShare = 32
)

// fit reduces a topology's limits to the size of the embedded server's store.
func fit(t queue.Topology, room int64, log zerolog.Logger) queue.Topology {
	if most := room / resultsShare; t.Results.MaxBytes > most {
		log.Warn().Stringer("kept", config.Size(most)).Stringer("results.max_bytes", config.Size(t.Results.MaxBytes)).
			Msg("the disk has no room for results.max_bytes; the oldest events go sooner")
		t.Results.MaxBytes = most
	}

	t.JobsMaxBytes = min(queue.DefaultJobsMaxBytes, room/jobsShare)
	t.LedgerMaxBytes = min(queue.DefaultLedgerMaxBytes, room/ledgerShare)
	t.FilesMaxBytes = min(queue.DefaultFilesMaxBytes, room/filesShare)
	t.Dead.MaxBytes = min(t.Dead.MaxBytes, room/deadShare)
	t.ReportsMaxBytes = min(t.ReportsMaxBytes, room/reportsShare)

	return t
}

// WorkerConfig returns the settings of the worker. Folders watched on this machine are roots for
// their sources, unless worker.roots overrides them.
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
