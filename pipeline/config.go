package pipeline

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"backburn/internal/backoff"
	"backburn/wildfire"
)

// Config is the configuration of a worker. The tags of a field hold its key in the configuration
// file, and the description of that key.
type Config struct {
	_ struct{} `toml:"worker" doc:"How workers upload."`

	Concurrency     int           `toml:"worker.concurrency" doc:"Maximum number of simultaneous uploads in this process, 1 to 256."`
	Rate            float64       `toml:"worker.rate" reload:"true" doc:"Uploads per second of the whole fleet. Workers share it. 0: no limit."`
	Burst           int           `toml:"worker.burst" reload:"true" doc:"Uploads of the whole fleet that may start at once. Workers share it."`
	MaxAttempts     int           `toml:"worker.max_attempts" doc:"Upload attempts, including the first."`
	RetryMin        time.Duration `toml:"worker.retry_min" doc:"First delay between attempts. It doubles each time, and is random within its upper half."`
	RetryMax        time.Duration `toml:"worker.retry_max" doc:"Longest delay between attempts."`
	Lease           time.Duration `toml:"worker.lease" doc:"How long after the death of a worker others take over its jobs. At least \"3s\"."`
	ShutdownTimeout time.Duration `toml:"worker.shutdown_timeout" doc:"How long a stopping worker may finish its uploads before it returns them to the queue. More than \"0s\"."`

	// Roots maps a source to a folder. If a job of the source gives its contents by a path, that
	// path is below the folder. The folders that this process watches are added to Roots.
	Roots map[string]string `toml:"worker.roots" example:"{}" doc:"Where the folders of watchers on other machines are mounted here, as source = \"folder\"."`

	// MaxFileSize is the largest file that is uploaded, in bytes; MaxFileSizes is the same for
	// single sources (watch.max_file_size).
	MaxFileSize  int64
	MaxFileSizes map[string]int64

	// Simulated says that WildFire is simulated. A simulator knows nothing of uploads from before
	// its start.
	Simulated bool

	AskFirst       bool `toml:"wildfire.ask_first" reload:"true" doc:"Ask WildFire about the hash before uploading a file."`
	UploadsPerDay  int  `toml:"wildfire.uploads_per_day" reload:"true" doc:"Uploads of the whole organization per day. 0: only WildFire's own limit applies (419)."`
	QueriesPerDay  int  `toml:"wildfire.queries_per_day" reload:"true" doc:"Queries of the whole organization per day. One query asks about up to 500 hashes. 0: no limit."`
	ReservePercent int  `toml:"wildfire.reserve_percent" reload:"true" doc:"Percentage of both budgets that is reserved for urgent jobs, 0 to 99."`

	UrgentSources []string `toml:"wildfire.urgent_sources" reload:"true" doc:"Sources whose jobs may be urgent and use the reserve; \"*\": every source. Urgent jobs of other sources count as normal."`
	RefusedKinds  []string `toml:"wildfire.refused_kinds" reload:"true" doc:"Globs of MIME types that WildFire refuses. WildFire is asked about the hash of such files, and they are not uploaded. The type is detected from the contents; files with an extension that WildFire accepts, such as .js or .jar, are uploaded anyway. With an ordinary API key, WildFire refuses image/*, too."`

	// Rules is the policy: it says of which files the contents may leave, of which only the hash,
	// and of which nothing.
	Rules []Rule `toml:"policy" reload:"true" doc:"What may be sent to WildFire. The first entry that matches a file or link decides. Without a match, contents may be uploaded. What a publisher states about a file, such as its name in a message, can only restrict: if the first entry that matches relies on such a statement, it allows no more than the first that does not. A job can restrict itself, too. \"backburn policy test PATH\" shows which entry applies to a file."`

	_ struct{} `toml:"verdicts" doc:"How often, and for how long, WildFire is asked for a verdict."`

	FirstPoll time.Duration `toml:"verdicts.first_poll" doc:"Time from the upload to the first query. The intervals grow from there."`
	MaxPoll   time.Duration `toml:"verdicts.max_poll" doc:"Longest interval between queries."`
	Deadline  time.Duration `toml:"verdicts.deadline" doc:"Time after the upload at which a job without a verdict fails with the reason verdict_timeout."`

	MaliciousAge time.Duration `toml:"verdicts.malicious_age" doc:"Reuse the verdicts malware, grayware, phishing and c2 for identical contents for this long. \"0s\": never."`
	BenignAge    time.Duration `toml:"verdicts.benign_age" doc:"Reuse the verdict benign for this long. \"0s\": never."`

	Recheck time.Duration `toml:"verdicts.recheck" doc:"Ask again about benign verdicts and withheld contents after this long, in queries that are not full. \"0s\": never."`

	_ struct{} `toml:"reports" doc:"WildFire's reports about files. They are fetched once for the whole fleet, published as backburn.report.v1, and kept; see docs/reports.md. Each document costs one query, taken from those that verdicts do not need."`

	ReportVerdicts []string      `toml:"reports.verdicts" example:"[\"malware\", \"phishing\", \"c2\"]" doc:"Verdicts whose reports are fetched: malware, grayware, phishing, c2, benign. Empty: off."`
	ReportFormats  []string      `toml:"reports.formats" doc:"Documents to keep: \"xml\", from which the event is made, and \"pdf\"."`
	ReportPCAP     bool          `toml:"reports.pcap" doc:"Also keep the network capture of the analysis."`
	ReportMaxAge   time.Duration `toml:"reports.max_age" doc:"How long documents are kept. WildFire keeps them for 30 days."`
	ReportMaxBytes int64         `toml:"reports.max_bytes" unit:"bytes" doc:"Total size of documents. The oldest are removed first."`
}

// The defaults of [reports].
const (
	DefaultReportMaxAge         = 30 * 24 * time.Hour
	DefaultReportMaxBytes int64 = 1 << 30
)

// Kinds of documents that are kept about a sample.
const (
	ReportXML  = "xml"
	ReportPDF  = "pdf"
	ReportPCAP = "pcap"
)

// reportVerdicts are the verdicts whose reports can be requested.
var reportVerdicts = []string{"malware", "grayware", "phishing", "c2", "benign"}

// minReportMaxBytes leaves room for the largest report, 32 MiB, and for a second one that replaces
// it.
const minReportMaxBytes = 64 << 20

// DefaultConfig returns the defaults of the configuration file.
func DefaultConfig() Config {
	return Config{
		Concurrency: 8, Rate: 2, Burst: 8, MaxAttempts: 8,
		RetryMin: time.Second, RetryMax: 5 * time.Minute,
		Lease: 15 * time.Second, ShutdownTimeout: 30 * time.Second,
		Roots:       map[string]string{},
		MaxFileSize: 100_000_000,
		AskFirst:    true, UploadsPerDay: 150, QueriesPerDay: 1050, ReservePercent: 10,
		UrgentSources: []string{anySource},
		RefusedKinds:  []string{"audio/*", "video/*"},
		Rules:         []Rule{},
		FirstPoll:     30 * time.Second, MaxPoll: 15 * time.Minute, Deadline: 24 * time.Hour,
		MaliciousAge: 720 * time.Hour, BenignAge: 168 * time.Hour, Recheck: 24 * time.Hour,
		ReportVerdicts: []string{}, ReportFormats: []string{ReportXML},
		ReportMaxAge: DefaultReportMaxAge, ReportMaxBytes: DefaultReportMaxBytes,
	}
}

// Check calls bad for each key that has an invalid value. The arguments of bad are the key, the
// values that are allowed, and any other keys on which these depend. Check never passes on the
// invalid value itself.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := Wants(bad)
	want(c.Concurrency >= 1 && c.Concurrency <= 256, "worker.concurrency", "1 to 256")
	want(c.Rate >= 0 && c.Rate <= 1e6, "worker.rate", "a number from 0 (no limit) to 1000000") // not NaN
	want(c.Burst >= 1, "worker.burst", "more than 0")
	want(c.MaxAttempts >= 1, "worker.max_attempts", "more than 0")
	want(c.RetryMin > 0, "worker.retry_min", "more than 0s")
	want(c.RetryMax >= c.RetryMin, "worker.retry_max", "at least worker.retry_min", "worker.retry_min")
	want(c.Lease >= 3*time.Second, "worker.lease", "at least 3s")
	want(c.ShutdownTimeout > 0, "worker.shutdown_timeout", "more than 0s")
	for _, source := range slices.Sorted(maps.Keys(c.Roots)) {
		want(ValidSource(source), "worker.roots", "sources as keys ("+SourceRule+")")
		want(c.Roots[source] != "", "worker.roots", "a folder for each source")
	}

	want(c.MaxFileSize > 0, "wildfire.max_file_size", "more than 0") // set by code alone: the configuration file has watch.max_file_size
	want(c.UploadsPerDay >= 0, "wildfire.uploads_per_day", "0 (no limit) or more")
	want(c.QueriesPerDay >= 0, "wildfire.queries_per_day", "0 (no limit) or more")
	want(c.ReservePercent >= 0 && c.ReservePercent < 100, "wildfire.reserve_percent", "0 to 99")

	for _, source := range c.UrgentSources {
		want(source == anySource || ValidSource(source), "wildfire.urgent_sources", "sources ("+SourceRule+"), or \"*\"")
	}
	for _, glob := range c.RefusedKinds {
		want(validKind(glob), "wildfire.refused_kinds", `globs of MIME types, such as "video/*"`)
	}

	want(c.FirstPoll > 0, "verdicts.first_poll", "more than 0s")
	want(c.MaxPoll >= c.FirstPoll, "verdicts.max_poll", "at least verdicts.first_poll", "verdicts.first_poll")
	want(c.Deadline > c.FirstPoll, "verdicts.deadline", "more than verdicts.first_poll", "verdicts.first_poll")
	want(c.MaliciousAge >= 0, "verdicts.malicious_age", "0s or more")
	want(c.BenignAge >= 0, "verdicts.benign_age", "0s or more")
	want(c.Recheck >= 0, "verdicts.recheck", "0s or more")

	for _, v := range c.ReportVerdicts {
		want(slices.Contains(reportVerdicts, v), "reports.verdicts", strings.Join(reportVerdicts, ", "))
	}
	for _, f := range c.ReportFormats {
		want(f == ReportXML || f == ReportPDF, "reports.formats", `"xml" and "pdf"`)
	}
	want(slices.Contains(c.ReportFormats, ReportXML), "reports.formats", `"xml" at least, because the event is made from it`)
	want(c.ReportMaxAge >= time.Hour, "reports.max_age", "at least 1h")
	want(c.ReportMaxBytes >= minReportMaxBytes, "reports.max_bytes", "at least 64MiB, since a report may have 32MiB")
}

// ReportDocuments lists the documents that are kept about a sample, the report itself first.
func (c Config) ReportDocuments() []string {
	documents := []string{ReportXML}
	if slices.Contains(c.ReportFormats, ReportPDF) {
		documents = append(documents, ReportPDF)
	}
	if c.ReportPCAP {
		documents = append(documents, ReportPCAP)
	}

	return documents
}

// ReportSchedule returns when to request a report, counted from the verdict. WildFire completes a
// report a little later than the verdict.
func (c Config) ReportSchedule() Schedule { return Schedule{First: c.FirstPoll, Max: c.Deadline / 4} }

// ReportDeadline returns when to give up waiting for a report. If WildFire knew the sample before
// any upload, the report exists already or has expired, so the wait is short.
func (c Config) ReportDeadline(s Sample) time.Time {
	if s.SubmittedAt.IsZero() {
		return s.DecidedAt.Add(c.Deadline / 24)
	}

	return s.DecidedAt.Add(c.Deadline)
}

// Validate returns everything that Check finds, here and in the rules, as one error. Each line
// begins with the key.
func (c Config) Validate() error {
	return CheckError(func(bad func(key, expected string, related ...string)) {
		c.Check(bad)
		for i, r := range c.Rules {
			r.Check(func(key, expected string, _ ...string) { bad(fmt.Sprintf("policy[%d].%s", i, key), expected) })
		}
	})
}

// CheckError joins what Check finds in a configuration into one error, or returns nil.
func CheckError(check func(bad func(key, expected string, related ...string))) error {
	var all []error
	check(func(key, expected string, _ ...string) {
		all = append(all, fmt.Errorf("%s: expected %s", key, expected))
	})

	return errors.Join(all...)
}

// ReuseDuration returns how long a verdict is reused for identical contents without asking again.
func (c Config) ReuseDuration(v wildfire.Verdict) time.Duration {
	if v.Malicious() {
		return c.MaliciousAge
	}
	return c.BenignAge
}

// anySource stands for every source.
const anySource = "*"

// MayBeUrgent reports whether jobs of a source may be urgent.
func (c Config) MayBeUrgent(source string) bool {
	return slices.Contains(c.UrgentSources, anySource) || slices.Contains(c.UrgentSources, source)
}

// DuplicateWait returns how long the other jobs of a sample wait for the job that is uploading it.
// That job is redelivered even if its worker dies. It may have been removed by hand, so the wait is
// limited.
func (c Config) DuplicateWait() time.Duration { return 2*c.RetryMax + 4*c.Lease }

// Schedule returns when to ask WildFire about a pending sample.
func (c Config) Schedule() Schedule { return Schedule{First: c.FirstPoll, Max: c.MaxPoll} }

// Backoff returns the delay after this many counted attempts.
func (c Config) Backoff(attempts int) time.Duration {
	return backoff.Delay(attempts, c.RetryMin, c.RetryMax)
}

// SizeLimit returns the size of the largest file of a source that is uploaded, in bytes.
func (c Config) SizeLimit(source string) int64 {
	if n, ok := c.MaxFileSizes[source]; ok {
		return n
	}
	return c.MaxFileSize
}
