package pipeline

import (
	"fmt"
	"time"

	"backburn/internal/backoff"
	"backburn/results"
	"backburn/wildfire"
)

// News is what was learned about a sample since its record was read.
type News interface{ news() }

// The types of news.
type (
	// NoNews means that nothing was learned: a job arrived, or its sample is due for a check.
	NoNews struct{}

	// OwnerLookedUp says whether the owner of the claim may still be uploading the sample.
	OwnerLookedUp struct {
		Owner string // the sample's owner when it was looked up

		// Gone says that Owner is not uploading the sample: Owner is gone, or is this worker, which
		// has no upload of the sample in progress.
		Gone bool
	}

	// Answered is WildFire's answer to a question about the sample.
	Answered struct {
		// HasEntry says that the answer has an entry for the sample. A worker cannot tell an entry
		// with the verdict Unknown from a missing one, so it sets HasEntry for neither.
		HasEntry bool

		Verdict wildfire.Verdict // Pending for an entry without a verdict
		MD5     string
	}

	// Unanswered means that queries are paused for a long time, or that today's are used up.
	Unanswered struct{}

	// NotAdmitted means that uploads are paused for a long time, or that today's budget has no
	// upload left for the job.
	NotAdmitted struct{}

	// UploadTurn means that it is the job's turn to upload, in the worker Owner.
	UploadTurn struct{ Owner string }

	// UploadEnded is the outcome of an upload attempt by the worker that calls Decide.
	UploadEnded struct {
		Disposition Disposition // what the outcome means
		MD5         string      // set if the upload is complete
		Filetype    string      // set if the upload is complete
	}
)

func (NoNews) news()        {}
func (OwnerLookedUp) news() {}
func (Answered) news()      {}
func (Unanswered) news()    {}
func (NotAdmitted) news()   {}
func (UploadTurn) news()    {}
func (UploadEnded) news()   {}

// StepKind is the kind of the next step of a job.
type StepKind int

// The steps. Finish, Fail, Wait, Park and Retry end the work on a job for now. A worker carries out
// each of the others, and calls Decide again with the news from it.
const (
	StepFinish      StepKind = iota // the job ends with its sample's verdict
	StepFail                        // the job ends with a reason
	StepWait                        // the job waits for its sample, until Due at the latest
	StepPark                        // the job waits until Budget is renewed or its pause ends
	StepRetry                       // the job is redelivered after Delay
	StepLookUpOwner                 // find out whether the claim's owner may still be uploading
	StepAsk                         // ask WildFire
	StepAwaitTurn                   // wait for the job's turn to upload
	StepSend                        // write the claim, then upload: it is the job's turn
	StepReconsider                  // write the sample, whose claim was released, and decide again
)

var stepNames = [...]string{
	"finish", "fail", "wait", "park", "retry", "look up owner", "ask", "await turn", "send", "reconsider",
}

func (k StepKind) String() string { return stepNames[k] }

// Step is the next step of a job.
type Step struct {
	Kind     StepKind
	Basis    results.Basis // of StepFinish, StepWait and StepPark
	Cause    results.Error // of StepFail
	Attempts int           // of StepFail: upload attempts
	Due      time.Time     // of StepWait: next time to check, or to ask
	Asking   bool          // of StepWait: WildFire has the sample; ask at Due
	Budget   Budget        // of StepPark
	Delay    time.Duration // of StepRetry
}

// Circumstances are what Decide takes into account besides the sample, the job and the news.
type Circumstances struct {
	Config

	Ruling Ruling  // what may leave for this job; Unruled for the poller, which sends no contents
	Self   string  // the worker that calls Decide; "" for the poller, which uploads nothing
	Random float64 // from 0 to 1, drawn for each decision, to spread the retries of many jobs
}

// uploadDelay returns the delay before the next upload attempt, after this many counted ones.
// Unlike Config.Backoff, it takes the random part from p, so that Decide has no side effects.
func (p Circumstances) uploadDelay(attempts int) time.Duration {
	return backoff.UpperHalf(backoff.Doubled(attempts, p.RetryMin, p.RetryMax), p.Random)
}

// refusalMemory is how long a refusal holds for the same contents.
const refusalMemory = 24 * time.Hour

// For this long after our own submission, the answer "unknown" may mean "not yet". simulatedGrace
// is for a simulated WildFire, usualGrace for the real one.
const (
	usualGrace     = 5 * time.Minute
	simulatedGrace = 3 * time.Second
)

// unknownGrace returns the grace period that applies here.
func (p Circumstances) unknownGrace() time.Duration {
	if p.Simulated {
		return simulatedGrace
	}

	return usualGrace
}

// Decide returns the next step of a job and the new record of its sample. No other function chooses
// a step. Decide has no side effects, and the same arguments give the same result. A caller that
// carries out the step also writes the record, if it has changed.
func Decide(s Sample, j Job, e News, p Circumstances, now time.Time) (Step, Sample) {
	now = now.Round(0) // no monotonic reading: records hold only wall-clock time
	d := decision{s: s, j: j, p: p, now: now}

	var step Step
	switch e := e.(type) {
	case NoNews:
		step = d.fromRecord()
	case OwnerLookedUp:
		step = d.ownerLookedUp(e)
	case Answered:
		step = d.answered(e)
	case Unanswered:
		step = Step{Kind: StepPark, Budget: Queries, Basis: results.BasisShared}
	case NotAdmitted:
		if d.claimedByUs() {
			d.s.release(StateNone, now)
		}
		step = Step{Kind: StepPark, Budget: Uploads, Basis: results.BasisShared}
	case UploadTurn:
		step = d.uploadTurn(e)
	case UploadEnded:
		step = d.uploadEnded(e)
	}

	return step, d.s
}

// decision is the state of one call of Decide.
type decision struct {
	s   Sample
	j   Job
	p   Circumstances
	now time.Time
}

// mayAsk reports whether WildFire may be asked about the hash or the link.
func (d *decision) mayAsk() bool { return d.p.Ruling.Submit.rank() >= SubmitLookup.rank() }

// maySend reports whether contents may be uploaded, or a link submitted.
func (d *decision) maySend() bool { return d.p.Ruling.Submit.rank() >= SubmitAlways.rank() }

// recentlyWithheld reports whether WildFire was asked recently about contents that the policy
// withholds. WildFire need not be asked now: the poller asks again, and publishes a later verdict
// for each job that was withheld.
func (d *decision) recentlyWithheld() bool {
	return d.s.State == StateNone && !d.s.WithheldAt.IsZero() && d.j.Kind != KindURL &&
		d.now.Sub(d.s.CheckedAt) < d.p.Recheck
}

// withhold ends a job whose contents the policy withholds.
func (d *decision) withhold(why string) Step {
	return d.fail(results.Error{
		Reason:  results.Withheld,
		Message: "withheld by " + d.p.Ruling.Rule + ": " + why,
	}, 0)
}

// fromRecord decides without news, from the record alone.
func (d *decision) fromRecord() Step {
	switch d.s.State {
	case StateVerdict:
		if d.now.Sub(d.s.CheckedAt) <= d.p.ReuseDuration(wildfire.Verdict(d.s.Verdict)) {
			return Step{Kind: StepFinish, Basis: results.BasisCache}
		}
	case StateRefused:
		if d.s.Refusal.covers(d.j) && d.now.Sub(d.s.Refusal.At) <= refusalMemory {
			return d.fail(d.s.Refusal.Error, d.s.Attempts)
		}
	}
	if !d.mayAsk() {
		return d.withhold("its hash must not leave")
	}

	switch d.s.State {
	case StatePending:
		if d.p.Self != "" { // even past the deadline: the poller asks WildFire once more before jobs fail
			return d.waitForVerdict()
		}
		return d.pending()
	case StateRetrying:
		if !d.mayRetry() {
			return d.waitForOther()
		}
	case StateUploading:
		return Step{Kind: StepLookUpOwner}
	}

	return d.askOrUpload()
}

// pending decides about a sample that WildFire has. At the deadline the job fails, and the sample
// is reset, so that a later job can upload it again.
func (d *decision) pending() Step {
	if !d.now.Before(d.deadline()) {
		d.s.reset(d.now)

		return d.fail(results.Error{
			Reason:  results.VerdictTimeout,
			Message: fmt.Sprintf("WildFire gave no verdict within %s", d.p.Deadline),
		}, 0)
	}

	return d.waitForVerdict()
}

// deadline returns when the jobs of a pending sample fail.
func (d *decision) deadline() time.Time { return d.s.SubmittedAt.Add(d.p.Deadline) }

// waitForVerdict makes the job wait until the poller asks about the pending sample.
func (d *decision) waitForVerdict() Step {
	submitted := d.s.SubmittedAt
	if submitted.After(d.now) { // written before the clock was set back: do not wait that long
		submitted = d.now
	}
	due := d.p.Schedule().Next(submitted, d.now)
	if deadline := d.deadline(); deadline.Before(due) {
		due = deadline
	}

	return Step{Kind: StepWait, Asking: true, Due: due, Basis: d.basis()}
}

// mayRetry reports whether this job may make the next upload attempt. It may if it made the last
// one, if it is more urgent, or if the job that should make the attempt has long been missing.
func (d *decision) mayRetry() bool {
	return d.s.Job == d.j.Ref().String() ||
		d.j.Priority.Before(d.s.Priority) ||
		d.now.Sub(d.s.ChangedAt).Abs() >= d.p.DuplicateWait() // a time in the future was written before the clock was set back
}

// waitForOther makes the job wait for another one that uploads the sample. The other job is
// redelivered even if its worker dies. It may have been removed by hand, so the wait is limited.
func (d *decision) waitForOther() Step {
	return Step{Kind: StepWait, Due: d.s.ChangedAt.Add(d.p.DuplicateWait()), Basis: results.BasisShared}
}

// askOrUpload decides about a sample that nobody is uploading. WildFire is asked about it if the
// configuration says so, if an earlier upload may have reached WildFire, or if the policy does not
// allow an upload. Otherwise the sample is uploaded.
func (d *decision) askOrUpload() Step {
	if !d.maySend() && d.recentlyWithheld() {
		return d.withhold("WildFire did not know it at " + d.s.CheckedAt.UTC().Format(time.RFC3339) +
			", and its contents must not leave")
	}
	if d.p.AskFirst || d.s.Unsure || !d.maySend() {
		return Step{Kind: StepAsk}
	}

	return Step{Kind: StepAwaitTurn}
}

// ownerLookedUp decides about a claimed sample whose owner was looked up.
func (d *decision) ownerLookedUp(e OwnerLookedUp) Step {
	switch {
	case d.s.State != StateUploading || d.s.Owner != e.Owner:
		return d.fromRecord()
	case e.Gone: // the upload may have reached WildFire at any time until now
		d.s.Unsure = true
		d.s.release(StateNone, d.now)
		return Step{Kind: StepReconsider}
	case d.s.Job == d.j.Ref().String(): // another delivery of this job is under way
		return Step{Kind: StepRetry, Delay: d.p.Lease / 3}
	}

	return d.waitForOther()
}

// answered decides after WildFire's answer. A claim, or a verdict or refusal that has not expired,
// takes precedence over the answer.
func (d *decision) answered(e Answered) Step {
	if d.s.State == StatePending {
		return d.polled(e)
	}

	step := d.fromRecord()
	switch {
	case step.Kind == StepLookUpOwner, step.Kind == StepFinish, step.Kind == StepFail:
		return step
	case e.HasEntry && e.Verdict.Final(), e.HasEntry && e.Verdict == wildfire.Pending:
		return d.lookedUp(e)
	case step.Kind == StepWait: // another job makes the next upload attempt
		return step
	case d.s.Unsure && d.now.Sub(d.s.ChangedAt).Abs() < d.p.FirstPoll:
		// Shortly after the upload, "unknown" may mean "not yet".
		return Step{Kind: StepRetry, Delay: d.s.ChangedAt.Add(d.p.FirstPoll).Sub(d.now)}
	case !d.maySend():
		d.s.recordWithheld(d.now)
		return d.withhold("WildFire does not know it, and its contents must not leave")
	}

	return Step{Kind: StepAwaitTurn}
}

// uploadTurn decides when it is the job's turn to upload. It claims the sample only if the sample
// still has to be uploaded.
func (d *decision) uploadTurn(e UploadTurn) Step {
	step := d.fromRecord()
	switch {
	case step.Kind != StepAsk && step.Kind != StepAwaitTurn:
		return step
	case !d.maySend():
		return d.withhold("its contents must not leave")
	}

	d.s.claim(e.Owner, d.j, d.now)
	d.s.Rule = d.p.Ruling.Rule

	return Step{Kind: StepSend}
}

// lookedUp decides about a sample that WildFire knows, while the ledger has no verdict or refusal
// that still applies.
func (d *decision) lookedUp(e Answered) Step {
	ours := d.s.Unsure && d.s.Job == d.j.Ref().String()
	if d.s.Final() {
		d.s.reset(d.now)
	}
	if !ours {
		d.s.Job = ""
	}
	if d.s.Size == 0 {
		d.s.Size = d.j.Size
	}

	basis := results.BasisLookup
	if ours {
		basis = results.BasisUpload
	}

	if !e.Verdict.Final() {
		d.s.recordSubmitted(d.now)
		step := d.pending()
		step.Basis = basis
		return step
	}

	if ours && d.s.SubmittedAt.IsZero() {
		d.s.SubmittedAt = d.s.ChangedAt
	}
	d.s.setVerdict(e.Verdict, e.MD5, d.now)

	return Step{Kind: StepFinish, Basis: basis}
}

// polled decides about a pending sample that was asked about.
func (d *decision) polled(e Answered) Step {
	switch v := e.Verdict; {
	case !e.HasEntry, v == wildfire.Pending:
	case v.Final():
		basis := d.basis()
		d.s.setVerdict(v, e.MD5, d.now)
		return Step{Kind: StepFinish, Basis: basis}
	case v == wildfire.Unknown && d.now.Sub(d.s.SubmittedAt) < d.p.unknownGrace():
	case v == wildfire.Unknown && d.p.Simulated: // the simulator was restarted and forgot the sample: always upload again
		d.s.release(StateNone, d.now)
		return d.fromRecord()
	case v == wildfire.Unknown && d.s.Resubmitted:
	case v == wildfire.Unknown, v == wildfire.AnalysisError, v == wildfire.Flawed:
		d.s.resubmitOrRefuse(v, d.now)
		return d.fromRecord()
	case v == wildfire.InvalidHash:
		d.s.refuse("", rejection("WildFire calls the hash invalid (-103)"), d.now)
		return d.fromRecord()
	}

	return d.pending()
}

// claimedByUs reports whether the worker that calls Decide has claimed the sample.
func (d *decision) claimedByUs() bool { return d.s.State == StateUploading && d.s.Owner == d.p.Self }

// uploadEnded decides after an upload attempt. If this worker no longer holds the claim, the
// outcome is ignored.
func (d *decision) uploadEnded(e UploadEnded) Step {
	if !d.claimedByUs() {
		return d.fromRecord()
	}
	disp := e.Disposition

	switch disp.Action {
	case Complete:
		d.s.MD5 = e.MD5
		d.s.Filetype = e.Filetype
		d.s.recordSubmitted(d.now)
		step := d.pending()
		step.Basis = results.BasisUpload
		return step

	case Terminate:
		return d.terminate(disp)

	case Retry:
		tries := d.p.MaxAttempts
		if disp.MaxAttempts > 0 {
			tries = min(tries, disp.MaxAttempts)
		}
		if d.s.Attempts+1 >= tries {
			disp.Message = fmt.Sprintf("given up after %d attempts: %s", d.s.Attempts+1, disp.Message)
			return d.terminate(disp)
		}

		delay := max(d.p.uploadDelay(d.s.Attempts), min(disp.Delay, d.p.RetryMax))
		d.s.Attempts++
		d.s.Unsure = disp.Unsure
		d.s.release(StateRetrying, d.now)
		return Step{Kind: StepRetry, Delay: delay}
	}

	// Nothing shows that the file or link is at fault, so the attempt is not counted.
	d.s.Unsure = d.s.Unsure || disp.Unsure
	d.s.release(StateNone, d.now)
	if disp.Action == ParkBudget {
		return Step{Kind: StepPark, Budget: Uploads, Basis: results.BasisShared}
	}

	return Step{Kind: StepRetry, Delay: max(disp.Delay, d.p.RetryMin)}
}

// terminate ends a job that cannot succeed. If the contents are the reason, the sample records the
// refusal for every job with these contents and this extension.
func (d *decision) terminate(disp Disposition) Step {
	cause := results.Error{Reason: disp.Reason, Message: disp.Message, HTTPStatus: disp.Status}
	attempts := d.s.Attempts + 1

	d.s.reset(d.now)
	if disp.ContentFault {
		d.s.Attempts = attempts
		d.s.refuse(extension(d.j), cause, d.now)
	}

	return d.fail(cause, attempts)
}

func (d *decision) fail(cause results.Error, attempts int) Step {
	return Step{Kind: StepFail, Cause: cause, Attempts: attempts}
}

// basis returns the basis of the verdict on a pending sample, for the job's event.
func (d *decision) basis() results.Basis {
	switch d.s.Job {
	case d.j.Ref().String():
		return results.BasisUpload
	case "":
		return results.BasisLookup
	}

	return results.BasisShared
}
