package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/results"
	"backburn/wildfire"
)

// TraceQuery says what to look for: a job by its ID, or everything about a sample. One of Job,
// SHA256 and URL is set.
type TraceQuery struct {
	Job    string // a job's ID; Source must be set, too, if several sources have a job of this ID
	SHA256 string // 64 hexadecimal digits
	URL    string // a link that was submitted

	Source string    // only jobs of this source; "" for every source
	Since  time.Time // how far back to look for events; zero: to the first time in the records, at least one day
	Limit  int       // most messages to read of each stream, and most waiting jobs to show; 0: 10,000
}

const defaultTraceLimit = 10_000

// Where a job or a sample is.
const (
	TraceUnknown = "unknown" // no trace of the job or sample was found
	TraceQueued  = "queued"  // in JOBS
	TraceWaiting = "waiting" // in the ledger, waiting for a verdict, a budget or the end of a pause
	TraceDone    = "done"    // it has its verdict
	TraceFailed  = "failed"  // it has its failed event
)

// TraceEntry is an entry of a timeline: something that happened, or the place where a job is.
type TraceEntry struct {
	Time   time.Time `json:"time"`
	What   string    `json:"what"` // queued, submitted, waiting, verdict, failed, changed, report, dead, audit
	Job    string    `json:"job_id,omitempty"`
	Source string    `json:"source,omitempty"`
	Name   string    `json:"name,omitempty"`   // file name or link
	Detail string    `json:"detail,omitempty"` // for people
	Seq    uint64    `json:"seq,omitempty"`    // in its stream: JOBS, LEDGER or DEAD
}

// SampleTrace describes a sample.
type SampleTrace struct {
	Key         string         `json:"key"`   // the SHA-256; of a link, "u-" and the SHA-256 of its text
	State       string         `json:"state"` // none, uploading, retrying, pending, verdict, refused
	Since       time.Time      `json:"since,omitzero"`
	Owner       string         `json:"owner,omitempty"` // the worker that uploads it
	Attempts    int            `json:"attempts"`        // upload attempts that failed
	SubmittedAt time.Time      `json:"submitted_at,omitzero"`
	Verdict     string         `json:"verdict,omitempty"`
	CheckedAt   time.Time      `json:"checked_at,omitzero"`
	Refusal     *results.Error `json:"refusal,omitempty"`
	Rule        string         `json:"rule,omitempty"`       // the policy rule that let the contents leave
	WithheldAt  time.Time      `json:"withheld_at,omitzero"` // since when the policy has withheld the contents

	Report *pipeline.ReportNote `json:"report,omitempty"` // set once the report was fetched or given up

	sample pipeline.Sample
}

// Trace is the result: the state, and the timeline that led to it.
type Trace struct {
	State    string       `json:"state"`               // of the job; of several jobs, the one with the least progress
	Since    time.Time    `json:"since,omitzero"`      // since when it has this state
	WaitsFor string       `json:"waits_for,omitempty"` // for people
	Sample   *SampleTrace `json:"sample,omitempty"`
	Timeline []TraceEntry `json:"steps"`           // the oldest first
	Notes    []string     `json:"notes,omitempty"` // what was left out, because a limit was reached

	Metadata map[string]string `json:"metadata,omitempty"` // of the requested job

	Simulated bool `json:"simulated,omitempty"` // WildFire is simulated
}

// Trace looks for a job, or for everything about a sample, in the ledger, JOBS, DEAD and RESULTS.
// It reads records of the ledger by their subjects, except that it searches the headers of all
// records for the jobs that wait for a sample, and shows at most Limit of these jobs. If another
// stream has to be searched, Trace reads at most Limit messages of it. It adds a note if there are
// more. It consumes no messages.
func (q *Queue) Trace(ctx context.Context, tq TraceQuery) (Trace, error) {
	t := &tracer{
		from:    q,
		query:   tq,
		limit:   cmp.Or(tq.Limit, defaultTraceLimit),
		finals:  map[pipeline.Ref]results.Event{},
		actions: map[string]int{},
	}
	t.out.Simulated = q.streams.Simulated()
	t.out.Timeline = []TraceEntry{}
	for _, look := range []func(context.Context) error{
		t.identify, t.ledger, t.waiting, t.searchJobs, t.events, t.dead, t.setState,
	} {
		if err := look(ctx); err != nil {
			return Trace{}, fmt.Errorf("trace: %w", err)
		}
	}

	return t.out, nil
}

// tracer gathers a Trace.
type tracer struct {
	from  *Queue
	query TraceQuery
	limit int
	out   Trace

	key     string                         // key of the sample, once it is known
	record  pipeline.Sample                // its record
	job     *pipeline.Job                  // a job in progress, if there is one
	parked  string                         // the budget that it waits for, for people; "" if none
	finals  map[pipeline.Ref]results.Event // final events
	actions map[string]int                 // index of the entry for an audited action, by the action's ID
}

// ErrAmbiguous says that several sources have a job with this ID.
var ErrAmbiguous = errors.New("several sources have a job of this id")

// identify finds the source of a job that was requested by its ID alone, or as "source/id".
func (t *tracer) identify(ctx context.Context) error {
	if t.query.Job == "" || t.query.Source != "" {
		return nil
	}

	filter := t.from.streams.prefix + ".ledger.job.*." + pipeline.JobKey(t.query.Job)
	info, err := t.from.streams.ledger.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return fmt.Errorf("stream %s: %w", t.from.streams.LedgerStream(), err)
	}
	var sources []string
	for subject := range info.State.Subjects {
		tokens := strings.Split(subject, ".")
		sources = append(sources, tokens[len(tokens)-2])
	}
	slices.Sort(sources)

	ref, isRef := pipeline.ParseRef(t.query.Job)
	switch {
	case len(sources) == 0 && isRef:
		t.query.Source = ref.Source
		t.query.Job = ref.ID
	case len(sources) > 1:
		return fmt.Errorf("%w: put one of these sources before it, as in %s/%s: %s", ErrAmbiguous, sources[0], t.query.Job, strings.Join(sources, ", "))
	case len(sources) == 1:
		t.query.Source = sources[0]
	}

	return nil
}

func (t *tracer) add(s TraceEntry) {
	s.Time = s.Time.UTC()
	t.out.Timeline = append(t.out.Timeline, s)
}

// upTo returns no more messages of a stream than the tracer's limit, and notes that there are more.
func upTo[M any](t *tracer, stream string, messages iter.Seq2[M, error]) iter.Seq2[M, error] {
	return func(yield func(M, error) bool) {
		n := 0
		for m, err := range messages {
			if n++; n > t.limit && err == nil {
				t.out.Notes = append(t.out.Notes, fmt.Sprintf("only %d messages of %s were read", t.limit, stream))
				return
			}
			if !yield(m, err) {
				return
			}
		}
	}
}

func (t *tracer) matches(j pipeline.Job) bool {
	if t.query.Source != "" && j.Source != t.query.Source {
		return false
	}
	if t.query.Job != "" {
		return j.ID == t.query.Job
	}

	return pipeline.SampleKey(j) == t.key
}

// ledger reads the records of the job and its sample.
func (t *tracer) ledger(ctx context.Context) error {
	switch {
	case t.query.URL != "":
		t.key = pipeline.LinkKey(t.query.URL)
	case t.query.Job == "":
		t.key = strings.ToLower(t.query.SHA256)
	case t.query.Source != "":
		entry, err := t.addRecord(ctx, recordName(pipeline.Ref{Source: t.query.Source, ID: t.query.Job}))
		if err != nil {
			return err
		}
		t.key = entry.Sample
	}

	return t.sample(ctx)
}

func (t *tracer) addFinal(ev results.Event) {
	ref := pipeline.Ref{Source: ev.Data.Source, ID: ev.Data.JobID}
	if _, known := t.finals[ref]; known {
		return
	}

	t.finals[ref] = ev
	t.addEvent(ev)
	if t.query.Job != "" {
		t.out.Metadata = ev.Data.Metadata
	}
	if t.key == "" {
		t.key = pipeline.SampleKey(jobOf(ev.Data))
	}
}

func (t *tracer) addEvent(ev results.Event) {
	d := ev.Data
	detail := fmt.Sprintf("%s, by %s", d.Verdict, cmp.Or(d.Basis, "WildFire's own decision"))
	switch {
	case d.Error != nil:
		detail = string(d.Error.Reason) + ": " + d.Error.Message
	case ev.Type == results.Submitted:
		detail = "WildFire accepted the upload"
		if d.Filetype != "" {
			detail += " as " + d.Filetype
		}
		if d.Policy != "" {
			detail += ", by the policy: " + d.Policy
		}
	case d.Report != nil:
		detail = reportDetail(*d.Report)
	}

	t.addJob(ev.Type.Name(), jobOf(d), 0, ev.Time, detail)
}

// reportDetail describes a report event in numbers only, because the author of a malicious file
// influences the texts in it.
func reportDetail(r results.Report) string {
	if r.Status != results.ReportAvailable {
		return "WildFire has none"
	}

	var parts []string
	for _, list := range []struct {
		what string
		n    int
	}{
		{"behaviors", len(r.Behaviors)},
		{"domains", len(r.Domains)},
		{"IP addresses", len(r.IPs)},
		{"URLs", len(r.URLs)},
		{"files dropped", len(r.Dropped)},
	} {
		if list.n > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", list.what, list.n))
		}
	}

	return cmp.Or(strings.Join(parts, ", "), "without indicators") + "; kept: " + cmp.Or(strings.Join(r.Kept, ", "), "nothing")
}

func (t *tracer) sample(ctx context.Context) error {
	if t.key == "" {
		return nil
	}

	s, known, err := t.from.ledger.Known(ctx, t.key)
	if err != nil || !known {
		return err
	}
	t.record = s.sample
	t.out.Sample = &s

	return nil
}

// Known returns what is known about contents by their SHA-256 (64 lower-case hexadecimal digits),
// or about a link by its key; false if nothing is known.
func (l *Ledger) Known(ctx context.Context, key string) (SampleTrace, bool, error) {
	s, err := l.Sample(ctx, key)
	if err != nil || s.Revision == 0 {
		return SampleTrace{}, false, err
	}

	st := SampleTrace{
		Key:         key,
		State:       cmp.Or(string(s.State), "none"),
		Since:       s.ChangedAt,
		Owner:       s.Owner,
		Attempts:    s.Attempts,
		SubmittedAt: s.SubmittedAt,
		CheckedAt:   s.CheckedAt,
		Rule:        s.Rule,
		WithheldAt:  s.WithheldAt,
		Report:      s.Report,
		sample:      s.Sample,
	}
	switch s.State {
	case pipeline.StateVerdict:
		st.Verdict = wildfire.Verdict(s.Verdict).String()
	case pipeline.StateRefused:
		st.Refusal = &s.Refusal.Error
	}

	return st, true, nil
}

// waiting looks for jobs that wait for the sample. Their records in the ledger name it.
func (t *tracer) waiting(ctx context.Context) error {
	if t.query.Job != "" || t.key == "" {
		return nil
	}

	found := 0
	for r, err := range t.from.ledger.readJobs(ctx) {
		if err != nil {
			return err
		}
		if r.State != JobWaiting || r.Sample != t.key || t.query.Source != "" && r.Source != t.query.Source {
			continue
		}
		if found == t.limit {
			t.out.Notes = append(t.out.Notes, fmt.Sprintf("more than %d jobs wait for it; the others are left out", t.limit))
			break
		}
		found++
		if _, err := t.addRecord(ctx, r.Name); err != nil {
			return err
		}
	}

	return nil
}

// addRecord reads the record of a job by its name, and turns it into an entry if the job waits or
// has ended.
func (t *tracer) addRecord(ctx context.Context, name string) (JobEntry, error) {
	entry, err := t.from.ledger.ReadJob(ctx, name)
	switch entry.State {
	case JobDone:
		t.addFinal(entry.Event)
	case JobWaiting:
		detail := "until its contents have a verdict"
		if entry.Parked != "" {
			t.parked = "the day's budget of " + string(entry.Parked)
			if entry.Message.RuleBudget != "" {
				t.parked = "the uploads that its policy rule allows in a day"
			}
			detail = "for " + t.parked
		}
		t.job = &entry.Message.Job
		t.addJob("waiting", entry.Message.Job, entry.Revision, entry.Time, detail)
	}

	return entry, err
}

func (t *tracer) searchJobs(ctx context.Context) error {
	if len(t.finals) > 0 && t.query.Job != "" {
		return nil // the job has already ended
	}

	for raw, err := range upTo(t, t.from.streams.JobsStream(), t.from.jobs.search(ctx, t.query.Source)) {
		if err != nil {
			return err
		}
		msg, invalid := t.from.jobs.open(raw)
		if invalid != nil && t.query.Job == "" || !t.matches(msg.Job) {
			continue
		}

		t.job = &msg.Job
		t.addJob("queued", msg.Job, raw.Sequence, raw.Time, "in lane "+string(msg.Job.Priority))
		if t.key == "" {
			t.key = pipeline.SampleKey(msg.Job)
			_ = t.sample(ctx) // optional detail
		}
		if t.query.Job != "" {
			break
		}
	}

	return nil
}

func (t *tracer) addJob(what string, j pipeline.Job, seq uint64, at time.Time, detail string) {
	t.add(TraceEntry{
		Time:   at,
		What:   what,
		Job:    j.ID,
		Source: j.Source,
		Name:   cmp.Or(j.URL, j.Path, j.Filename),
		Detail: detail,
		Seq:    seq,
	})
}

// events reads RESULTS from the time that earliestTime returns.
func (t *tracer) events(ctx context.Context) error {
	from := t.earliestTime()
	for m, err := range upTo(t, t.from.streams.ResultsStream(), readAll(ctx, t.from.streams.results, jetstream.OrderedConsumerConfig{
		FilterSubjects: t.subjects(),
		DeliverPolicy:  jetstream.DeliverByStartTimePolicy,
		OptStartTime:   &from,
	}, readBatch)) {
		if err != nil {
			return err
		}
		id := m.Header.Get(nats.MsgIdHdr)
		audit := strings.HasPrefix(id, results.AuditSource+".")
		if t.query.Job != "" && !audit && !strings.Contains(id, "."+t.query.Job+".") {
			continue
		}
		var ev results.Event
		if ev.UnmarshalJSON(m.Data) != nil {
			continue // of a later version
		}
		switch {
		case ev.Data.Audit != nil:
			t.addAction(ev.Time, *ev.Data.Audit)
		case !t.matches(jobOf(ev.Data)):
		case ev.Type.Final():
			t.addFinal(ev)
		default:
			t.addEvent(ev)
		}
	}

	return nil
}

// subjects returns the subjects of events that may match the query.
func (t *tracer) subjects() []string {
	if t.query.Source == "" || t.query.Source == results.AuditSource {
		return []string{t.from.streams.ResultsSubject("*", "*", "*")}
	}

	return []string{
		t.from.streams.ResultsSubject("*", "*", t.query.Source),
		t.from.streams.ResultsSubject(results.Audited.Name(), "*", results.AuditSource),
	}
}

// addAction adds an entry for what a person did to a job or its contents. An action has two events;
// the entry has the outcome of the second one and the time of the first.
func (t *tracer) addAction(at time.Time, a results.Audit) {
	about := a.SHA256
	if a.URL != "" {
		about = pipeline.LinkKey(a.URL)
	}
	if ref := (pipeline.Ref{Source: t.query.Source, ID: t.query.Job}); a.Job != ref.String() && (about == "" || about != t.key) {
		return
	}

	what := string(a.Action)
	if a.Letter > 0 {
		what += fmt.Sprintf(" of dead letter %d", a.Letter)
	}
	s := TraceEntry{Time: at, What: "audit", Detail: fmt.Sprintf("%s by %s (%s): %s", what, a.By, a.Via, cmp.Or(a.Result, string(a.Status)))}
	if i, known := t.actions[a.ID]; known {
		s.Time = t.out.Timeline[i].Time // the time of the request
		t.out.Timeline[i] = s
		return
	}
	t.actions[a.ID] = len(t.out.Timeline)
	t.add(s)
}

// earliestTime returns the time from which events are read: TraceQuery.Since or, without it, the
// first time in the records, but at least one day ago. The trace lacks older events.
func (t *tracer) earliestTime() time.Time {
	if !t.query.Since.IsZero() {
		return t.query.Since
	}

	known := []time.Time{t.record.SubmittedAt, t.record.ChangedAt, t.record.DecidedAt}
	for _, ev := range t.finals {
		known = append(known, ev.Time, ev.Data.ReceivedAt, ev.Data.SubmittedAt)
	}
	from := time.Now().Add(-24 * time.Hour)
	for _, at := range known {
		if at = at.Add(-time.Minute); !at.Before(time.Time{}.Add(time.Hour)) && at.Before(from) {
			from = at
		}
	}

	return from
}

// dead finds the letters of failed jobs, by the reason and source in their events. A letter may
// outlive the job's event; then dead searches for the letter by the job's ID.
func (t *tracer) dead(ctx context.Context) error {
	if t.query.Job != "" && len(t.out.Timeline) == len(t.actions) { // all entries are audited actions
		return t.letter(ctx, t.query.Job, DeadFilter{Source: t.query.Source})
	}
	for ref, ev := range t.finals {
		if ev.Type != results.Failed || ev.Data.Error == nil {
			continue
		}
		f := DeadFilter{Reason: ev.Data.Error.Reason, Source: ev.Data.Source, Since: ev.Time.Add(-time.Minute)}
		if err := t.letter(ctx, ref.ID, f); err != nil {
			return err
		}
	}
	return nil
}

func (t *tracer) letter(ctx context.Context, job string, f DeadFilter) error {
	for l, err := range upTo(t, t.from.streams.DeadStream(), t.from.dead.All(ctx, f)) {
		if err != nil {
			return err
		}
		if l.Job.ID != job {
			continue
		}

		detail := fmt.Sprintf("kept as dead letter %d", l.Seq)
		if len(t.finals) == 0 { // no event has the reason
			detail += ", " + string(l.Reason) + ": " + l.Error
		}
		t.addJob("dead", pipeline.Job{ID: job, Source: l.Job.Source}, l.Seq, l.Time, detail)
		break
	}

	return nil
}

// setState sorts the entries, and sets the state of the job and what it waits for.
func (t *tracer) setState(ctx context.Context) error {
	o := &t.out
	slices.SortStableFunc(o.Timeline, func(a, b TraceEntry) int { return a.Time.Compare(b.Time) })
	if t.query.Job != "" && t.job != nil {
		o.Metadata = t.job.Metadata
	}

	for _, state := range []string{TraceQueued, TraceWaiting} {
		oldest := slices.IndexFunc(o.Timeline, func(s TraceEntry) bool { return s.What == state })
		if oldest < 0 {
			continue
		}
		o.State = state
		o.Since = o.Timeline[oldest].Time
		var err error
		o.WaitsFor, err = t.waitReason(ctx)
		return err
	}

	o.State = TraceUnknown
	for _, ev := range t.finals {
		if ev.Time.After(o.Since) {
			o.Since = ev.Time
			o.State = TraceDone
			if ev.Type == results.Failed {
				o.State = TraceFailed
			}
		}
	}
	if len(t.finals) == 0 && len(o.Timeline) > 0 && o.Timeline[0].What == "dead" {
		o.State = TraceFailed
		o.Since = o.Timeline[0].Time
	}

	return nil
}

// waitReason describes what the job waits for. It asks Decide for the job's next step, with the
// records, the default configuration and no policy, and then finds out what delays that step.
func (t *tracer) waitReason(ctx context.Context) (string, error) {
	members, err := fleet.Members(ctx, t.from.streams.control)
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(members, fleet.Member.Works) {
		return "a worker: none is running", nil
	}

	j := pipeline.Job{Priority: pipeline.Normal}
	if t.job != nil {
		j = *t.job
	}
	usual := pipeline.Circumstances{Config: pipeline.DefaultConfig(), Ruling: pipeline.Unruled()}
	step, _ := pipeline.Decide(t.record, j, pipeline.NoNews{}, usual, time.Now())
	for _, b := range budgetsOf(step) {
		p, err := fleet.PauseOf(ctx, t.from.streams.control, b, time.Now())
		if err != nil {
			return "", err
		}
		if p.Reason != "" {
			return fmt.Sprintf("the end of a pause: %s stop until %s (%s)", b, p.Until.Format(time.RFC3339), p.Reason), nil
		}
	}

	switch {
	case step.Kind == pipeline.StepWait && step.Asking:
		return "WildFire's verdict; it has had the contents since " + t.record.SubmittedAt.Format(time.RFC3339), nil
	case step.Kind == pipeline.StepLookUpOwner:
		return "the upload by worker " + describe(members, t.record.Owner), nil
	case t.record.State == pipeline.StateRetrying:
		return fmt.Sprintf("the next upload attempt; failed so far: %d", t.record.Attempts), nil
	case t.out.State == TraceQueued:
		return "its turn in the queue", nil
	case t.parked != "":
		return t.parked + "; the next day begins at 00:00 UTC", nil
	}

	return "its turn to be uploaded, as the day's budget and the rate allow", nil
}

// budgetsOf lists the budgets that a step needs.
func budgetsOf(s pipeline.Step) []pipeline.Budget {
	switch s.Kind {
	case pipeline.StepAsk: // first the question, then the upload
		return []pipeline.Budget{pipeline.Queries, pipeline.Uploads}
	case pipeline.StepAwaitTurn:
		return []pipeline.Budget{pipeline.Uploads}
	case pipeline.StepWait:
		if s.Asking {
			return []pipeline.Budget{pipeline.Queries}
		}
	}

	return nil
}

// describe returns a worker's name for people.
func describe(members []fleet.Member, id string) string {
	for _, m := range members {
		switch {
		case m.ID == id && m.Gone:
			return fmt.Sprintf("%s on %s, which is gone: its lease has to run out", id, m.Host)
		case m.ID == id:
			return fmt.Sprintf("%s on %s, process %d", id, m.Host, m.PID)
		}
	}

	return id + ", which is gone: its lease has to run out"
}
