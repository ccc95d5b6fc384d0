package queue

import (
	"strings"

	"backburn/pipeline"
)

// Names derives the names of all streams, buckets and subjects from the configured prefix.
type Names struct{ prefix string }

// NamesFor returns the names under a prefix, such as "backburn".
func NamesFor(prefix string) Names { return Names{prefix: prefix} }

// Prefix is the first token of every subject.
func (n Names) Prefix() string { return n.prefix }

func (n Names) stream(s string) string { return strings.ToUpper(n.prefix) + "_" + s }

// JobsStream is the work queue.
func (n Names) JobsStream() string { return n.stream("JOBS") }

// LedgerStream holds the records of samples and jobs.
func (n Names) LedgerStream() string { return n.stream("LEDGER") }

// ResultsStream holds the events.
func (n Names) ResultsStream() string { return n.stream("RESULTS") }

// DeadStream holds the dead letters.
func (n Names) DeadStream() string { return n.stream("DEAD") }

// ControlBucket holds the shared state of the fleet.
func (n Names) ControlBucket() string { return n.prefix + "_control" }

// TokensBucket holds sealed access tokens.
func (n Names) TokensBucket() string { return n.prefix + "_tokens" }

// GrantsBucket holds sealed refresh tokens.
func (n Names) GrantsBucket() string { return n.prefix + "_grants" }

// FilesBucket holds contents that do not travel in a message.
func (n Names) FilesBucket() string { return n.prefix + "_files" }

// ReportsBucket holds WildFire's documents about samples.
func (n Names) ReportsBucket() string { return n.prefix + "_reports" }

// JobSubject is the subject for submitted jobs: <prefix>.jobs.<priority>.<source>.
func (n Names) JobSubject(p pipeline.Priority, source string) string {
	return n.prefix + ".jobs." + string(p) + "." + source
}

// RequeueSubject is the subject for requeued jobs: <prefix>.requeue.<priority>.<source>. Only
// workers may publish there.
func (n Names) RequeueSubject(p pipeline.Priority, source string) string {
	return n.prefix + ".requeue." + string(p) + "." + source
}

// DeadSubject is the subject of a dead letter: <prefix>.dead.<reason>.<source>.
func (n Names) DeadSubject(reason, source string) string {
	return n.prefix + ".dead." + reason + "." + source
}

// ResultsSubject is the subject of events of one type, outcome and source. Any of them may be "*".
func (n Names) ResultsSubject(event, outcome, source string) string {
	return n.prefix + ".results." + event + "." + outcome + "." + source
}

// SampleSubject is the subject of a sample's record in the ledger.
func (n Names) SampleSubject(sampleKey string) string {
	return n.prefix + ".ledger.sample." + sampleKey
}

// JobRecordSubject is the subject of a job's record in the ledger.
func (n Names) JobRecordSubject(r pipeline.Ref) string { return n.recordSubject(recordName(r)) }

// recordName returns the name of a job's record: <source>.<job key>.
func recordName(r pipeline.Ref) string { return r.Source + "." + pipeline.JobKey(r.ID) }

// recordSubject returns the subject of the job's record that has this name.
func (n Names) recordSubject(name string) string { return n.prefix + ".ledger.job." + name }

// AnyJobRecord matches the subjects of all jobs' records.
func (n Names) AnyJobRecord() string { return n.prefix + ".ledger.job.*.*" }

// AskSubject is the subject for the workers' questions to the poller.
func (n Names) AskSubject() string { return n.prefix + ".ask" }

// ChangedSubject is the subject on which workers notify the poller that a sample changed. The
// message is the sample's key.
func (n Names) ChangedSubject() string { return n.prefix + ".sample.changed" }

// WaitingSubject is the subject on which the poller answers how many jobs wait, and for what.
func (n Names) WaitingSubject() string { return n.prefix + ".waiting" }

// lastToken returns what follows the last dot of a subject: of most subjects, the source.
func lastToken(subject string) string { return subject[strings.LastIndexByte(subject, '.')+1:] }

// parseJobSubject splits the subject of a job. requeued is true for the subject of RequeueSubject.
// ok is false if the subject is not that of a valid job.
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
