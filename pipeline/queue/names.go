package queue

import (
	"strings"

	"backburn/pipeline"
)

// Names spells every stream, bucket and subject from the one prefix of the configuration.
type Names struct{ prefix string }

// NamesFor returns the names under a prefix, such as "backburn".
func NamesFor(prefix string) Names { return Names{prefix: prefix} }

// Prefix is the first token of every subject.
func (n Names) Prefix() string { return n.prefix }

func (n Names) stream(s string) string { return strings.ToUpper(n.prefix) + "_" + s }

// JobsStream is the work queue.
func (n Names) JobsStream() string { return n.stream("JOBS") }

// LedgerStream holds what is known of samples and of jobs.
func (n Names) LedgerStream() string { return n.stream("LEDGER") }

// ResultsStream holds the events.
func (n Names) ResultsStream() string { return n.stream("RESULTS") }

// DeadStream holds the dead letters.
func (n Names) DeadStream() string { return n.stream("DEAD") }

// ControlBucket is where the fleet agrees.
func (n Names) ControlBucket() string { return n.prefix + "_control" }

// TokensBucket holds sealed access tokens.
func (n Names) TokensBucket() string { return n.prefix + "_tokens" }

// GrantsBucket holds sealed refresh tokens.
func (n Names) GrantsBucket() string { return n.prefix + "_grants" }

// FilesBucket holds contents that travel.
func (n Names) FilesBucket() string { return n.prefix + "_files" }

// ReportsBucket holds WildFire's documents about samples.
func (n Names) ReportsBucket() string { return n.prefix + "_reports" }

// JobSubject is where a job is submitted: <prefix>.jobs.<priority>.<source>.
func (n Names) JobSubject(p pipeline.Priority, source string) string {
	return n.prefix + ".jobs." + string(p) + "." + source
}

// RequeueSubject is where a job goes back to the workers: <prefix>.requeue.<priority>.<source>.
// Only workers may publish there.
func (n Names) RequeueSubject(p pipeline.Priority, source string) string {
	return n.prefix + ".requeue." + string(p) + "." + source
}

// DeadSubject is where a dead letter lies: <prefix>.dead.<reason>.<source>.
func (n Names) DeadSubject(reason, source string) string {
	return n.prefix + ".dead." + reason + "." + source
}

// ResultsSubject matches the events of an outcome: any argument may be "*".
func (n Names) ResultsSubject(event, outcome, source string) string {
	return n.prefix + ".results." + event + "." + outcome + "." + source
}

// SampleSubject is where the ledger keeps a sample.
func (n Names) SampleSubject(sampleKey string) string {
	return n.prefix + ".ledger.sample." + sampleKey
}

// LedgerSubject is where the ledger keeps a job. Its identity is its source and its id.
func (n Names) LedgerSubject(r pipeline.Ref) string {
	return n.ledgerJob(r.Source + "." + pipeline.JobKey(r.ID))
}

// ledgerJob is the subject of a job's record by its name.
func (n Names) ledgerJob(name string) string { return n.prefix + ".ledger.job." + name }

// AnyLedgerJob matches every job of the ledger.
func (n Names) AnyLedgerJob() string { return n.prefix + ".ledger.job.*.*" }

// AskSubject is where workers put their questions to the poller.
func (n Names) AskSubject() string { return n.prefix + ".ask" }

// ChangedSubject is where workers say that a sample changed, for the poller. It carries the key.
func (n Names) ChangedSubject() string { return n.prefix + ".sample.changed" }

// WaitingSubject is where the poller answers what waits, and for what.
func (n Names) WaitingSubject() string { return n.prefix + ".waiting" }

// parseJobSubject takes the subject of a job apart. requeued says that it came from a worker.
func (n Names) parseJobSubject(subject string) (p pipeline.Priority, source string, requeued, ok bool) {
	rest, ok := strings.CutPrefix(subject, n.prefix+".")
	if !ok {
		return "", "", false, false
	}

	tokens := strings.Split(rest, ".")
	if len(tokens) != 3 || tokens[0] != "jobs" && tokens[0] != "requeue" {
		return "", "", false, false
	}

	p = pipeline.Priority(tokens[1])
	source = tokens[2]

	return p, source, tokens[0] == "requeue", p.Valid() && pipeline.ValidSource(source)
}
