package app

import (
	"fmt"
	"path/filepath"

	"github.com/rs/zerolog"

	"backburn/internal/config"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/wildfire"
)

// UserAgent is what WildFire and the token services see.
const UserAgent = "backburn/1"

// Topology is what the queue of a configuration is made with.
func Topology(c config.Config) queue.Topology {
	return queue.Topology{
		Prefix: c.NATS.Prefix, Domain: c.NATS.Domain, Replicas: c.NATS.Replicas, Lease: c.Worker.Lease.Std(),
		ResultsMaxAge: c.Results.MaxAge.Std(), ResultsMaxBytes: c.Results.MaxBytes.Bytes(),
	}
}

// Streams with a limit reserve it, and the server refuses more than there is room for. So on a
// small disk RESULTS gets half of what the embedded server may store at most, the others a part of
// the rest.
const (
	resultsShare = 2
	jobsShare    = 8
	ledgerShare  = 8
	filesShare   = 8
	deadShare    = 16
)

// fit reduces what a topology reserves to what an embedded server may store.
func fit(t queue.Topology, room int64, log zerolog.Logger) queue.Topology {
	if most := room / resultsShare; t.ResultsMaxBytes > most {
		log.Warn().Stringer("kept", config.Size(most)).Stringer("results.max_bytes", config.Size(t.ResultsMaxBytes)).
			Msg("the disk has no room for results.max_bytes; the oldest events go sooner")
		t.ResultsMaxBytes = most
	}
	t.JobsMaxBytes = min(queue.DefaultJobsMaxBytes, room/jobsShare)
	t.LedgerMaxBytes = min(queue.DefaultLedgerMaxBytes, room/ledgerShare)
	t.FilesMaxBytes = min(queue.DefaultFilesMaxBytes, room/filesShare)
	t.DeadMaxBytes = min(queue.DefaultDeadMaxBytes, room/deadShare)
	return t
}

// WorkerConfig is what the worker of a configuration is made with. Folders that are watched
// here are roots for their sources, unless worker.roots says otherwise.
func WorkerConfig(c config.Config) (pipeline.Config, error) {
	p := pipeline.Config{
		Concurrency: c.Worker.Concurrency, Rate: c.Worker.Rate, Burst: c.Worker.Burst,
		MaxAttempts: c.Worker.MaxAttempts, RetryMin: c.Worker.RetryMin.Std(), RetryMax: c.Worker.RetryMax.Std(),
		Lease: c.Worker.Lease.Std(), ShutdownTimeout: c.Worker.ShutdownTimeout.Std(),
		Roots: map[string]string{}, MaxFileSizes: map[string]int64{}, MaxFileSize: pipeline.DefaultConfig().MaxFileSize,
		AskFirst: c.WildFire.AskFirst, UploadsPerDay: c.WildFire.UploadsPerDay, QueriesPerDay: c.WildFire.QueriesPerDay,
		ReservePercent: c.WildFire.ReservePercent,
		FirstPoll:      c.Verdicts.FirstPoll.Std(), MaxPoll: c.Verdicts.MaxPoll.Std(), Deadline: c.Verdicts.Deadline.Std(),
		MaliciousAge: c.Verdicts.MaliciousAge.Std(), BenignAge: c.Verdicts.BenignAge.Std(), Recheck: c.Verdicts.Recheck.Std(),
	}
	for _, w := range c.Watch {
		p.Roots[w.Source] = w.Path
		p.MaxFileSizes[w.Source] = w.MaxFileSize.Bytes()
	}
	for source, root := range c.Worker.Roots {
		p.Roots[source] = root
	}
	for source, root := range p.Roots {
		abs, err := filepath.Abs(root)
		if err != nil {
			return p, fmt.Errorf("folder of source %s: %w", source, err)
		}
		p.Roots[source] = abs
	}
	return p, p.Validate()
}

// WatchConfig is what the watcher of a folder is made with.
func WatchConfig(w config.Watch) watch.Config {
	return watch.Config{
		Path: w.Path, Source: w.Source, Recursive: w.Recursive,
		Claim: w.Claim, Watch: w.Watch, Settle: w.Settle.Std(), Scan: w.Scan.Std(), StaleAfter: w.StaleAfter.Std(),
		Exclude: w.Exclude, Defer: w.Defer, DoneFile: w.DoneFile, Hardlinks: w.Hardlinks,
		MaxFileSize: w.MaxFileSize.Bytes(), Priority: w.Priority, Transfer: w.Transfer,
		MaxInFlight: w.MaxInFlight, MinFree: w.MinFree.Bytes(), StateDir: w.StateDir,
		After:   watch.After{Benign: w.After.Benign, Malicious: w.After.Malicious, Failed: w.After.Failed},
		Sidecar: w.Sidecar,
	}
}

// WildFireConfig is what the client of a configuration is made with, but for its transport.
func WildFireConfig(c config.Config) wildfire.Config {
	w := wildfire.DefaultConfig()
	w.BaseURL, w.Agent, w.UserAgent = c.WildFire.URL, c.WildFire.Agent, UserAgent
	w.StallTimeout, w.Network.CAFile = c.WildFire.StallTimeout.Std(), c.WildFire.CAFile
	w.APIKey = c.Auth[c.WildFire.Auth].Kind.FormField()
	w.MaxFileSize = 0 // the worker knows the limit of each source
	return w
}
