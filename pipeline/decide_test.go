package pipeline_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"backburn/pipeline"
	"backburn/results"
	"backburn/wildfire"
)

// The job, the worker and the time of the table.
const (
	thisWorker  = "this"
	otherWorker = "other"
	otherJob    = "mail/other"
)

var (
	decideNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	decideJob = pipeline.Job{
		ID:       "this",
		Source:   "mail",
		Priority: pipeline.Normal,
		Kind:     pipeline.KindFile,
		Filename: "a.exe",
		Size:     7,
	}
)

func decideCircumstances() pipeline.Circumstances {
	return pipeline.Circumstances{Config: pipeline.DefaultConfig(), Ruling: pipeline.Unruled(), Self: thisWorker, Random: 0.5}
}

func before(d time.Duration) time.Time { return decideNow.Add(-d) }

// typicalSample returns a sample in the given state, which another job has caused.
func typicalSample(s pipeline.State) pipeline.Sample {
	switch s {
	case pipeline.StateUploading:
		return pipeline.Sample{
			State:     s,
			Owner:     otherWorker,
			Job:       otherJob,
			Priority:  pipeline.Normal,
			Size:      7,
			ChangedAt: before(time.Minute),
		}
	case pipeline.StateRetrying:
		return pipeline.Sample{
			State:     s,
			Job:       otherJob,
			Priority:  pipeline.Normal,
			Attempts:  2,
			Size:      7,
			ChangedAt: before(time.Minute),
		}
	case pipeline.StatePending:
		return pipeline.Sample{
			State:       s,
			Job:         otherJob,
			Priority:    pipeline.Normal,
			Size:        7,
			SubmittedAt: before(10 * time.Minute),
			ChangedAt:   before(10 * time.Minute),
		}
	case pipeline.StateVerdict:
		return pipeline.Sample{
			State:     s,
			Size:      7,
			Verdict:   int(wildfire.Malware),
			DecidedAt: before(time.Hour),
			CheckedAt: before(time.Hour),
			ChangedAt: before(time.Hour),
		}
	case pipeline.StateRefused:
		return pipeline.Sample{
			State:     s,
			Attempts:  1,
			ChangedAt: before(time.Hour),
			Refusal:   &pipeline.Refusal{Error: noType, Ext: ".exe", At: before(time.Hour)},
		}
	}

	return pipeline.Sample{}
}

var noType = results.Error{Reason: results.UnsupportedType, Message: "not this type", HTTPStatus: 418}

// decision is a row of the table.
type decision struct {
	name  string
	state pipeline.State
	news  pipeline.News
	given func(*pipeline.Sample)        // changes to the typical sample
	job   func(*pipeline.Job)           // changes to the usual job
	cfg   func(*pipeline.Circumstances) // changes to the defaults
	step  pipeline.Step
	then  func(*pipeline.Sample) // expected change of the sample; nil: none
}

// Steps that many rows expect.
var (
	ask           = pipeline.Step{Kind: pipeline.StepAsk}
	upload        = pipeline.Step{Kind: pipeline.StepAwaitTurn}
	lookUpOwner   = pipeline.Step{Kind: pipeline.StepLookUpOwner}
	send          = pipeline.Step{Kind: pipeline.StepSend}
	reconsider    = pipeline.Step{Kind: pipeline.StepReconsider}
	fromCache     = pipeline.Step{Kind: pipeline.StepFinish, Basis: results.BasisCache}
	failRefused   = pipeline.Step{Kind: pipeline.StepFail, Cause: noType, Attempts: 1}
	parkForQuery  = pipeline.Step{Kind: pipeline.StepPark, Budget: pipeline.Queries, Basis: results.BasisShared}
	parkForUpload = pipeline.Step{Kind: pipeline.StepPark, Budget: pipeline.Uploads, Basis: results.BasisShared}
	failTimeout   = pipeline.Step{
		Kind:  pipeline.StepFail,
		Cause: results.Error{Reason: results.VerdictTimeout, Message: "WildFire gave no verdict within 24h0m0s"},
	}
	invalidHash = results.Error{Reason: results.Rejected, Message: "WildFire calls the hash invalid (-103)"}
)

// Failures because of the policy.
var (
	contentsWithheld = withheld("its contents must not leave")
	unknownWithheld  = withheld("WildFire does not know it, and its contents must not leave")
	stillWithheld    = withheld("WildFire did not know it at 2026-03-01T11:00:00Z, and its contents must not leave")
	hashWithheld     = withheld("its hash must not leave")
)

func withheld(why string) pipeline.Step {
	return failed(results.Error{Reason: results.Withheld, Message: "withheld by policy[0]: " + why}, 0)
}

func finish(b results.Basis) pipeline.Step { return pipeline.Step{Kind: pipeline.StepFinish, Basis: b} }

func retry(d time.Duration) pipeline.Step { return pipeline.Step{Kind: pipeline.StepRetry, Delay: d} }

func failed(cause results.Error, attempts int) pipeline.Step {
	return pipeline.Step{Kind: pipeline.StepFail, Cause: cause, Attempts: attempts}
}

// waitForOther returns the wait for another job that has been uploading for a while.
func waitForOther(since time.Duration) pipeline.Step {
	return pipeline.Step{
		Kind:  pipeline.StepWait,
		Due:   before(since).Add(pipeline.DefaultConfig().DuplicateWait()),
		Basis: results.BasisShared,
	}
}

// waitForVerdict returns the wait until the next query about a sample. submitted is the time since
// its submission.
func waitForVerdict(submitted time.Duration, b results.Basis) pipeline.Step {
	return pipeline.Step{
		Kind:   pipeline.StepWait,
		Asking: true,
		Due:    pipeline.DefaultConfig().Schedule().Next(before(submitted), decideNow),
		Basis:  b,
	}
}

// Events of many rows.
var (
	look       = pipeline.NoNews{}
	ownerAlive = pipeline.OwnerLookedUp{Owner: otherWorker}
	ownerGone  = pipeline.OwnerLookedUp{Owner: otherWorker, Gone: true}
	unknown    = pipeline.Answered{Verdict: wildfire.Unknown}
	malware    = pipeline.Answered{HasEntry: true, Verdict: wildfire.Malware, MD5: "m"}
	analyzing  = pipeline.Answered{HasEntry: true, Verdict: wildfire.Pending}
	claimed    = pipeline.UploadTurn{Owner: thisWorker}
	uploadDone = pipeline.UploadEnded{MD5: "m", Filetype: "PE"}
)

func uploadOutcome(d pipeline.Disposition) pipeline.UploadEnded {
	return pipeline.UploadEnded{Disposition: d}
}

func answered(v wildfire.Verdict) pipeline.Answered {
	return pipeline.Answered{HasEntry: true, Verdict: v}
}

// Changes to a sample.

func claimedByThisWorker(s *pipeline.Sample) {
	s.Owner = thisWorker
	s.Job = decideJob.Ref().String()
}

func byThisJob(s *pipeline.Sample) { s.Job = decideJob.Ref().String() }

func mayHaveArrived(s *pipeline.Sample) { s.Unsure = true }

func verdictExpired(s *pipeline.Sample) { s.CheckedAt = before(721 * time.Hour) }

func pastDeadline(s *pipeline.Sample) { s.SubmittedAt = before(24 * time.Hour) }

func justSubmitted(s *pipeline.Sample) { s.SubmittedAt = before(time.Minute) }

func becomes(s pipeline.Sample) func(*pipeline.Sample) {
	return func(to *pipeline.Sample) { *to = s }
}

// combine combines several changes, in order.
func combine(changes ...func(*pipeline.Sample)) func(*pipeline.Sample) {
	return func(s *pipeline.Sample) {
		for _, f := range changes {
			f(s)
		}
	}
}

// isClaimed is the change that UploadTurn makes.
func isClaimed(s *pipeline.Sample) {
	s.State = pipeline.StateUploading
	s.Owner = thisWorker
	s.Job = decideJob.Ref().String()
	s.Priority = decideJob.Priority
	s.Size = decideJob.Size
	s.ChangedAt = decideNow
	s.Rule = "no rule matches"
}

// decided sets a verdict at decideNow.
func decided(s *pipeline.Sample) {
	s.State = pipeline.StateVerdict
	s.Owner = ""
	s.Job = ""
	s.Priority = ""
	s.Unsure = false
	s.Refusal = nil
	s.MD5 = "m"
	s.Verdict = int(wildfire.Malware)
	s.ChangedAt = decideNow
	s.DecidedAt = decideNow
	s.CheckedAt = decideNow
}

// isPending is the change for a submission that was made or found at decideNow.
func isPending(s *pipeline.Sample) {
	s.State = pipeline.StatePending
	s.Owner = ""
	s.Unsure = false
	s.ChangedAt = decideNow
	s.SubmittedAt = decideNow
}

// isReleased is the change for a sample whose claim ends at decideNow.
func isReleased(s *pipeline.Sample) {
	s.State = pipeline.StateNone
	s.Owner = ""
	s.Job = ""
	s.Priority = ""
	s.ChangedAt = decideNow
}

func sizeKnown(s *pipeline.Sample) { s.Size = decideJob.Size }

func withoutJob(s *pipeline.Sample) { s.Job = "" }

func isRefused(cause results.Error, ext string) func(*pipeline.Sample) {
	return func(s *pipeline.Sample) {
		isReleased(s)
		s.State = pipeline.StateRefused
		s.Refusal = &pipeline.Refusal{Error: cause, Ext: ext, At: decideNow}
	}
}

// isWithheld is the change for a sample that WildFire does not know and a rule withholds.
func isWithheld(s *pipeline.Sample) {
	s.WithheldAt = decideNow
	s.CheckedAt = decideNow
}

// withheldFor is the change for a sample that has been withheld for a while.
func withheldFor(d time.Duration) func(*pipeline.Sample) {
	return func(s *pipeline.Sample) {
		s.WithheldAt = before(d)
		s.CheckedAt = before(d)
	}
}

func retrying(s *pipeline.Sample) {
	s.State = pipeline.StateRetrying
	s.Owner = ""
	s.Attempts++
	s.ChangedAt = decideNow
}

// decisions covers Decide completely: every state and all news. Rows that say "never" cannot occur,
// because the caller has read the record before such news. They are defined anyway.
func decisions() []decision {
	const (
		none      = pipeline.StateNone
		uploading = pipeline.StateUploading
		isRetry   = pipeline.StateRetrying
		pending   = pipeline.StatePending
		verdict   = pipeline.StateVerdict
		refusal   = pipeline.StateRefused
	)

	noAsk := func(p *pipeline.Circumstances) { p.AskFirst = false }
	byPoller := func(p *pipeline.Circumstances) { p.Self = "" }
	pollerAsks := pipeline.Step{Kind: pipeline.StepWait, Asking: true, Due: decideNow, Basis: results.BasisShared}
	lookupOnly := func(p *pipeline.Circumstances) {
		p.Ruling = pipeline.Ruling{Submit: pipeline.SubmitLookup, Rule: "policy[0]"}
	}
	simulated := func(p *pipeline.Circumstances) { p.Simulated = true }
	neverSubmit := func(p *pipeline.Circumstances) {
		p.Ruling = pipeline.Ruling{Submit: pipeline.SubmitNever, Rule: "policy[0]"}
	}
	link := func(j *pipeline.Job) { j.Kind = pipeline.KindURL }
	oneAttempt := func(p *pipeline.Circumstances) { p.MaxAttempts = 1 }
	urgent := func(j *pipeline.Job) { j.Priority = pipeline.Urgent }
	script := func(j *pipeline.Job) { j.Filename = "a.js" }
	serverFault := pipeline.Disposition{Action: pipeline.Retry, Reason: results.AttemptsExhausted, Message: "503", Status: 503}
	exhausted := results.Error{Reason: results.AttemptsExhausted, Message: "given up after 1 attempts: 503", HTTPStatus: 503}
	unsupported := pipeline.Disposition{
		Action:  pipeline.Terminate,
		Reason:  noType.Reason,
		Message: noType.Message,
		Status:  noType.HTTPStatus,
	}
	unsupportedContent := unsupported
	unsupportedContent.ContentFault = true
	analysisError := results.Error{
		Reason:  results.AnalysisError,
		Message: "WildFire could not analyze it in two submissions: " + wildfire.AnalysisError.String(),
	}

	return []decision{
		// Unknown samples.
		{name: "first", state: none, news: look, step: ask},
		{name: "first, and nobody is asked", state: none, news: look, cfg: noAsk, step: upload},
		{name: "it may have got through", state: none, news: look, given: mayHaveArrived, cfg: noAsk, step: ask},
		{name: "never: there is no owner", state: none, news: ownerAlive, step: ask},
		{name: "WildFire knows it", state: none, news: malware, step: finish(results.BasisLookup), then: combine(decided, sizeKnown)},
		{
			name: "WildFire got it from this job after all", state: none, news: malware,
			given: combine(mayHaveArrived, byThisJob, func(s *pipeline.Sample) { s.ChangedAt = before(time.Minute) }),
			step:  finish(results.BasisUpload),
			then: combine(decided, sizeKnown, func(s *pipeline.Sample) {
				s.SubmittedAt = before(time.Minute)
			}),
		},
		{
			name: "WildFire got it from another job after all", state: none, news: malware,
			given: combine(mayHaveArrived, func(s *pipeline.Sample) { s.Job = otherJob }),
			step:  finish(results.BasisLookup),
			then:  combine(decided, sizeKnown),
		},
		{name: "WildFire analyzes it", state: none, news: analyzing, step: waitForVerdict(0, results.BasisLookup), then: combine(isPending, sizeKnown)},
		{
			name: "WildFire analyzes what this job sent", state: none, news: analyzing,
			given: combine(mayHaveArrived, byThisJob),
			step:  waitForVerdict(0, results.BasisUpload),
			then:  combine(isPending, sizeKnown),
		},
		{name: "WildFire does not know it", state: none, news: unknown, step: upload},
		{name: "WildFire has no verdict on it", state: none, news: answered(wildfire.AnalysisError), step: upload},
		{
			name: "it was sent too recently for that", state: none, news: unknown,
			given: combine(mayHaveArrived, func(s *pipeline.Sample) { s.ChangedAt = before(10 * time.Second) }), step: retry(20 * time.Second),
		},
		{
			name: "it was sent long ago", state: none, news: unknown,
			given: combine(mayHaveArrived, func(s *pipeline.Sample) { s.ChangedAt = before(30 * time.Second) }), step: upload,
		},
		{
			name: "it was sent before the clock was set back", state: none, news: unknown,
			given: combine(mayHaveArrived, func(s *pipeline.Sample) { s.ChangedAt = before(-time.Hour) }), step: upload,
		},
		{name: "no answer in time", state: none, news: pipeline.Unanswered{}, step: parkForQuery},
		{name: "not admitted in time", state: none, news: pipeline.NotAdmitted{}, step: parkForUpload},
		{name: "claimed", state: none, news: claimed, step: send, then: isClaimed},
		{
			name: "claimed, after a try", state: none, news: claimed,
			given: func(s *pipeline.Sample) { s.Attempts = 3 }, step: send, then: isClaimed,
		},
		{name: "the claim was released by others", state: none, news: uploadDone, given: mayHaveArrived, step: ask},

		// Claimed samples.
		{name: "claimed by another", state: uploading, news: look, step: lookUpOwner},
		{name: "its owner lives", state: uploading, news: ownerAlive, step: waitForOther(time.Minute)},
		{name: "its owner lives, and has this job", state: uploading, news: ownerAlive, given: byThisJob, step: retry(5 * time.Second)},
		{name: "its owner is gone", state: uploading, news: ownerGone, step: reconsider, then: func(s *pipeline.Sample) {
			s.State = pipeline.StateNone
			s.Owner = ""
			s.Unsure = true
			s.ChangedAt = decideNow // the upload may just have ended
		}},
		{name: "its owner changed", state: uploading, news: pipeline.OwnerLookedUp{Owner: "third", Gone: true}, step: lookUpOwner},
		{name: "an answer, while another sends it", state: uploading, news: malware, step: lookUpOwner},
		{name: "never: no answer", state: uploading, news: pipeline.Unanswered{}, step: parkForQuery},
		{name: "not admitted again", state: uploading, news: pipeline.NotAdmitted{}, given: claimedByThisWorker, step: parkForUpload, then: isReleased},
		{
			name: "not admitted again, and it may have got through", state: uploading, news: pipeline.NotAdmitted{},
			given: combine(claimedByThisWorker, mayHaveArrived), step: parkForUpload, then: func(s *pipeline.Sample) {
				s.State = pipeline.StateNone
				s.Owner = ""
				s.ChangedAt = decideNow
			},
		},
		{name: "never: not admitted, and another's claim", state: uploading, news: pipeline.NotAdmitted{}, step: parkForUpload},
		{name: "never: claimed, and another's claim", state: uploading, news: claimed, step: lookUpOwner},
		{
			name: "sent", state: uploading, news: uploadDone, given: combine(claimedByThisWorker, mayHaveArrived), step: waitForVerdict(0, results.BasisUpload),
			then: combine(isPending, func(s *pipeline.Sample) {
				s.MD5 = "m"
				s.Filetype = "PE"
			}),
		},
		{name: "sent, and taken over meanwhile", state: uploading, news: uploadDone, step: lookUpOwner},
		{name: "a fault", state: uploading, news: uploadOutcome(serverFault), given: claimedByThisWorker, step: retry(750 * time.Millisecond), then: retrying},
		{
			name: "the third fault", state: uploading, news: uploadOutcome(serverFault),
			given: combine(claimedByThisWorker, func(s *pipeline.Sample) { s.Attempts = 2 }), step: retry(3 * time.Second), then: retrying,
		},
		{
			name: "a fault, and it may have got through", state: uploading,
			news: uploadOutcome(pipeline.Disposition{Action: pipeline.Retry, Unsure: true}), given: claimedByThisWorker,
			step: retry(750 * time.Millisecond), then: combine(retrying, mayHaveArrived),
		},
		{
			name: "a fault, and the service says when", state: uploading,
			news: uploadOutcome(pipeline.Disposition{Action: pipeline.Retry, Delay: time.Minute}), given: claimedByThisWorker,
			step: retry(time.Minute), then: retrying,
		},
		{
			name: "a fault, and the service wants too much", state: uploading,
			news: uploadOutcome(pipeline.Disposition{Action: pipeline.Retry, Delay: time.Hour}), given: claimedByThisWorker,
			step: retry(5 * time.Minute), then: retrying,
		},
		{
			name: "the last fault", state: uploading, news: uploadOutcome(serverFault), given: claimedByThisWorker, cfg: oneAttempt,
			step: failed(exhausted, 1), then: becomes(pipeline.Sample{ChangedAt: decideNow}),
		},
		{
			name: "the last fault of its kind", state: uploading,
			news:  uploadOutcome(pipeline.Disposition{Action: pipeline.Retry, Reason: results.Rejected, Message: "409", MaxAttempts: 3}),
			given: combine(claimedByThisWorker, func(s *pipeline.Sample) { s.Attempts = 2 }),
			step:  failed(results.Error{Reason: results.Rejected, Message: "given up after 3 attempts: 409"}, 3),
			then:  becomes(pipeline.Sample{ChangedAt: decideNow}),
		},
		{
			name: "refused", state: uploading, news: uploadOutcome(unsupported), given: claimedByThisWorker, step: failed(noType, 1),
			then: becomes(pipeline.Sample{ChangedAt: decideNow}),
		},
		{
			name: "refused because of its type", state: uploading, news: uploadOutcome(unsupportedContent), given: claimedByThisWorker, step: failed(noType, 1),
			then: becomes(pipeline.Sample{
				State:     pipeline.StateRefused,
				Attempts:  1,
				ChangedAt: decideNow,
				Refusal:   &pipeline.Refusal{Error: noType, Ext: ".exe", At: decideNow},
			}),
		},
		{
			name: "no budget left", state: uploading, news: uploadOutcome(pipeline.Disposition{Action: pipeline.ParkBudget}),
			given: claimedByThisWorker, step: parkForUpload, then: isReleased,
		},
		{
			name: "a pause", state: uploading, news: uploadOutcome(pipeline.Disposition{Action: pipeline.PauseFleet}),
			given: claimedByThisWorker, step: retry(time.Second), then: isReleased,
		},
		{
			name: "put off", state: uploading, news: uploadOutcome(pipeline.Disposition{Action: pipeline.Defer, Delay: 5 * time.Second}),
			given: claimedByThisWorker, step: retry(5 * time.Second), then: isReleased,
		},
		{
			name: "left to another worker", state: uploading, news: uploadOutcome(pipeline.Disposition{Action: pipeline.ReleaseJob, Delay: 10 * time.Second}),
			given: claimedByThisWorker, step: retry(10 * time.Second), then: isReleased,
		},
		{
			name: "interrupted", state: uploading, news: uploadOutcome(pipeline.Disposition{Action: pipeline.Defer, Unsure: true}),
			given: claimedByThisWorker, step: retry(time.Second), then: func(s *pipeline.Sample) {
				s.State = pipeline.StateNone
				s.Owner = ""
				s.Unsure = true
				s.ChangedAt = decideNow
			},
		},

		// Between two attempts.
		{name: "another's next try", state: isRetry, news: look, step: waitForOther(time.Minute)},
		{name: "this job's next try", state: isRetry, news: look, given: byThisJob, step: ask},
		{name: "this job's next try, and nobody is asked", state: isRetry, news: look, given: byThisJob, cfg: noAsk, step: upload},
		{name: "a more urgent job", state: isRetry, news: look, job: urgent, step: ask},
		{
			name: "the other does not return", state: isRetry, news: look,
			given: func(s *pipeline.Sample) { s.ChangedAt = before(11 * time.Minute) }, step: ask,
		},
		{
			name: "the other tried before the clock was set back", state: isRetry, news: look,
			given: func(s *pipeline.Sample) { s.ChangedAt = before(-time.Hour) }, step: ask,
		},
		{name: "never: there is no owner, between tries", state: isRetry, news: ownerAlive, step: waitForOther(time.Minute)},
		{name: "it was known meanwhile", state: isRetry, news: malware, given: byThisJob, step: finish(results.BasisLookup), then: decided},
		{
			name: "it got through after all", state: isRetry, news: malware, given: combine(byThisJob, mayHaveArrived), step: finish(results.BasisUpload),
			then: combine(decided, func(s *pipeline.Sample) { s.SubmittedAt = before(time.Minute) }),
		},
		{
			name: "it is analyzed after all", state: isRetry, news: analyzing, given: combine(byThisJob, mayHaveArrived),
			step: waitForVerdict(0, results.BasisUpload), then: isPending,
		},
		{name: "it is still unknown", state: isRetry, news: unknown, given: byThisJob, step: upload},
		{name: "never: the next try is another's", state: isRetry, news: unknown, step: waitForOther(time.Minute)},
		{name: "no answer in time, between tries", state: isRetry, news: pipeline.Unanswered{}, given: byThisJob, step: parkForQuery},
		{name: "not admitted in time, between tries", state: isRetry, news: pipeline.NotAdmitted{}, given: byThisJob, step: parkForUpload},
		{name: "claimed to try again", state: isRetry, news: claimed, given: byThisJob, step: send, then: isClaimed},
		{name: "never: another's turn to try again", state: isRetry, news: claimed, step: waitForOther(time.Minute)},
		{name: "sent, and given up by others meanwhile", state: isRetry, news: uploadDone, step: waitForOther(time.Minute)},

		// With WildFire.
		{name: "the verdict is pending", state: pending, news: look, step: waitForVerdict(10*time.Minute, results.BasisShared)},
		{
			name: "the verdict is pending for this job", state: pending, news: look, given: byThisJob,
			step: waitForVerdict(10*time.Minute, results.BasisUpload),
		},
		{
			name: "the verdict is pending for no job", state: pending, news: look, given: withoutJob,
			step: waitForVerdict(10*time.Minute, results.BasisLookup),
		},
		{
			name: "its deadline comes first", state: pending, news: look,
			given: func(s *pipeline.Sample) { s.SubmittedAt = before(24*time.Hour - time.Second) },
			step:  pipeline.Step{Kind: pipeline.StepWait, Asking: true, Due: decideNow.Add(time.Second), Basis: results.BasisShared},
		},
		{
			name: "its deadline has passed", state: pending, news: look, given: pastDeadline, step: pollerAsks,
		},
		{
			name: "its deadline has passed, for the poller", state: pending, news: look, given: pastDeadline,
			cfg: byPoller, step: failTimeout, then: becomes(pipeline.Sample{ChangedAt: decideNow}),
		},
		{
			name: "its owner was gone, and it was decided otherwise", state: pending, news: ownerGone,
			step: waitForVerdict(10*time.Minute, results.BasisShared),
		},
		{name: "the verdict", state: pending, news: malware, step: finish(results.BasisShared), then: decided},
		{name: "the verdict for this job", state: pending, news: malware, given: byThisJob, step: finish(results.BasisUpload), then: decided},
		{name: "the verdict, at the last moment", state: pending, news: malware, given: pastDeadline, step: finish(results.BasisShared), then: decided},
		{name: "no verdict yet", state: pending, news: analyzing, step: waitForVerdict(10*time.Minute, results.BasisShared)},
		{
			name: "no verdict in time", state: pending, news: analyzing, given: pastDeadline, step: failTimeout,
			then: becomes(pipeline.Sample{ChangedAt: decideNow}),
		},
		{
			name: "no verdict yet, since before the clock was set back", state: pending, news: analyzing,
			given: func(s *pipeline.Sample) { s.SubmittedAt = before(-time.Hour) }, step: waitForVerdict(0, results.BasisShared),
		},
		{name: "no record", state: pending, news: unknown, step: waitForVerdict(10*time.Minute, results.BasisShared)},
		{
			name: "not known yet", state: pending, news: answered(wildfire.Unknown), given: justSubmitted,
			step: waitForVerdict(time.Minute, results.BasisShared),
		},
		{
			name: "not known any more", state: pending, news: answered(wildfire.Unknown), step: ask,
			then: combine(isReleased, func(s *pipeline.Sample) { s.Resubmitted = true }),
		},
		{
			name: "not known a second time", state: pending, news: answered(wildfire.Unknown),
			given: func(s *pipeline.Sample) { s.Resubmitted = true }, step: waitForVerdict(10*time.Minute, results.BasisShared),
		},
		{
			name: "not known any more, simulated", state: pending, news: answered(wildfire.Unknown), cfg: simulated, step: ask,
			given: combine(byThisJob, func(s *pipeline.Sample) {
				s.SubmittedAt = before(4 * time.Second)
				s.Resubmitted = true // this may happen any number of times
			}),
			then: isReleased,
		},
		{
			name: "not known yet, simulated", state: pending, news: answered(wildfire.Unknown), cfg: simulated,
			given: func(s *pipeline.Sample) { s.SubmittedAt = before(2 * time.Second) },
			step:  pipeline.Step{Kind: pipeline.StepWait, Asking: true, Due: decideNow.Add(28 * time.Second), Basis: results.BasisShared},
		},
		{
			name: "not analyzed", state: pending, news: answered(wildfire.AnalysisError), cfg: noAsk, step: upload,
			then: combine(isReleased, func(s *pipeline.Sample) { s.Resubmitted = true }),
		},
		{
			name: "not analyzed, twice", state: pending, news: answered(wildfire.AnalysisError),
			given: func(s *pipeline.Sample) { s.Resubmitted = true }, step: failed(analysisError, 0), then: isRefused(analysisError, ""),
		},
		{
			name: "called invalid", state: pending, news: answered(wildfire.InvalidHash), step: failed(invalidHash, 0),
			then: isRefused(invalidHash, ""),
		},
		{name: "never: no answer, with WildFire", state: pending, news: pipeline.Unanswered{}, step: parkForQuery},
		{name: "never: not admitted, with WildFire", state: pending, news: pipeline.NotAdmitted{}, step: parkForUpload},
		{name: "never: claimed, with WildFire", state: pending, news: claimed, step: waitForVerdict(10*time.Minute, results.BasisShared)},
		{name: "sent, and found by others meanwhile", state: pending, news: uploadDone, step: waitForVerdict(10*time.Minute, results.BasisShared)},

		// Decided.
		{name: "known here", state: verdict, news: look, step: fromCache},
		{name: "known here, long ago", state: verdict, news: look, given: verdictExpired, step: ask},
		{name: "harmless, long ago", state: verdict, news: look, given: func(s *pipeline.Sample) {
			s.Verdict = int(wildfire.Benign)
			s.CheckedAt = before(169 * time.Hour)
		}, step: ask},
		{name: "its owner was gone, and it was decided", state: verdict, news: ownerGone, step: fromCache},
		{name: "never: an answer, and a valid verdict", state: verdict, news: analyzing, step: fromCache},
		{name: "asked about again", state: verdict, news: malware, given: verdictExpired, step: finish(results.BasisLookup), then: func(s *pipeline.Sample) {
			*s = pipeline.Sample{Size: 7}
			decided(s)
		}},
		{
			name: "asked about again, and analyzed", state: verdict, news: analyzing, given: verdictExpired, step: waitForVerdict(0, results.BasisLookup),
			then: func(s *pipeline.Sample) {
				*s = pipeline.Sample{Size: 7}
				isPending(s)
			},
		},
		{name: "asked about again, and unknown", state: verdict, news: unknown, given: verdictExpired, step: upload},
		{name: "no answer about an old verdict", state: verdict, news: pipeline.Unanswered{}, given: verdictExpired, step: parkForQuery},
		{name: "not admitted, after an old verdict", state: verdict, news: pipeline.NotAdmitted{}, given: verdictExpired, step: parkForUpload},
		{name: "claimed, after an old verdict", state: verdict, news: claimed, given: verdictExpired, step: send, then: func(s *pipeline.Sample) {
			*s = pipeline.Sample{}
			isClaimed(s)
		}},
		{name: "never: claimed, and a valid verdict", state: verdict, news: claimed, step: fromCache},
		{name: "sent, and decided by others meanwhile", state: verdict, news: uploadDone, step: fromCache},

		// Refused.
		{name: "refused before", state: refusal, news: look, step: failRefused},
		{name: "refused before, under another kind of name", state: refusal, news: look, job: script, step: ask},
		{
			name: "refused before, under any name", state: refusal, news: look, job: script,
			given: func(s *pipeline.Sample) { s.Refusal = &pipeline.Refusal{Error: noType, At: before(time.Hour)} }, step: failRefused,
		},
		{
			name: "refused long ago", state: refusal, news: look,
			given: func(s *pipeline.Sample) {
				s.Refusal = &pipeline.Refusal{Error: noType, Ext: ".exe", At: before(25 * time.Hour)}
			}, step: ask,
		},
		{name: "its owner was gone, and it was refused", state: refusal, news: ownerGone, step: failRefused},
		{name: "never: an answer, and a valid refusal", state: refusal, news: malware, step: failRefused},
		{
			name: "known under another kind of name", state: refusal, news: malware, job: script, step: finish(results.BasisLookup),
			then: func(s *pipeline.Sample) {
				*s = pipeline.Sample{Size: 7}
				decided(s)
			},
		},
		{name: "unknown under another kind of name", state: refusal, news: unknown, job: script, step: upload},
		{name: "no answer, under another kind of name", state: refusal, news: pipeline.Unanswered{}, job: script, step: parkForQuery},
		{name: "not admitted, under another kind of name", state: refusal, news: pipeline.NotAdmitted{}, job: script, step: parkForUpload},
		{name: "claimed, under another kind of name", state: refusal, news: claimed, job: script, step: send, then: func(s *pipeline.Sample) {
			*s = pipeline.Sample{}
			isClaimed(s)
		}},
		{name: "never: claimed, and a valid refusal", state: refusal, news: claimed, step: failRefused},
		{name: "sent, and refused to others meanwhile", state: refusal, news: uploadDone, step: failRefused},

		// The owner or the upload is no longer in the record: the same as NoNews.
		{name: "outdated owner: nobody is asked", state: none, news: ownerAlive, cfg: noAsk, step: upload},
		{name: "outdated owner: next try", state: isRetry, news: ownerAlive, given: byThisJob, step: ask},
		{name: "outdated owner: next try, nobody is asked", state: isRetry, news: ownerAlive, given: byThisJob, cfg: noAsk, step: upload},
		{
			name: "outdated owner: deadline", state: pending, news: ownerAlive, given: pastDeadline, step: pollerAsks,
		},
		{name: "outdated owner: old verdict", state: verdict, news: ownerAlive, given: verdictExpired, step: ask},
		{name: "outdated owner: old verdict, nobody is asked", state: verdict, news: ownerAlive, given: verdictExpired, cfg: noAsk, step: upload},
		{name: "outdated owner: another name", state: refusal, news: ownerAlive, job: script, step: ask},
		{name: "outdated owner: another name, nobody is asked", state: refusal, news: ownerAlive, job: script, cfg: noAsk, step: upload},
		{name: "outdated upload: nobody is asked", state: none, news: uploadDone, cfg: noAsk, step: upload},
		{name: "outdated upload: next try", state: isRetry, news: uploadDone, given: byThisJob, step: ask},
		{name: "outdated upload: next try, nobody is asked", state: isRetry, news: uploadDone, given: byThisJob, cfg: noAsk, step: upload},
		{
			name: "outdated upload: deadline", state: pending, news: uploadDone, given: pastDeadline, step: pollerAsks,
		},
		{name: "outdated upload: old verdict", state: verdict, news: uploadDone, given: verdictExpired, step: ask},
		{name: "outdated upload: old verdict, nobody is asked", state: verdict, news: uploadDone, given: verdictExpired, cfg: noAsk, step: upload},
		{name: "outdated upload: another name", state: refusal, news: uploadDone, job: script, step: ask},
		{name: "outdated upload: another name, nobody is asked", state: refusal, news: uploadDone, job: script, cfg: noAsk, step: upload},

		// The policy: contents stay here.
		{name: "lookup: first", state: none, news: look, cfg: lookupOnly, step: ask},
		{name: "lookup: known", state: none, news: malware, cfg: lookupOnly, step: finish(results.BasisLookup), then: combine(decided, sizeKnown)},
		{name: "lookup: unknown", state: none, news: unknown, cfg: lookupOnly, step: unknownWithheld, then: isWithheld},
		{
			name: "lookup: unknown again", state: none, news: unknown, given: withheldFor(25 * time.Hour), cfg: lookupOnly, step: unknownWithheld,
			then: func(s *pipeline.Sample) { s.CheckedAt = decideNow },
		},
		{name: "lookup: unknown a while ago", state: none, news: look, given: withheldFor(time.Hour), cfg: lookupOnly, step: stillWithheld},
		{name: "lookup: unknown a day ago", state: none, news: look, given: withheldFor(25 * time.Hour), cfg: lookupOnly, step: ask},
		{name: "lookup: a link, unknown a while ago", state: none, news: look, given: withheldFor(time.Hour), job: link, cfg: lookupOnly, step: ask},
		{name: "lookup: another rule allows it", state: none, news: look, given: withheldFor(time.Hour), step: ask},
		{name: "lookup: another rule sends it", state: none, news: claimed, given: withheldFor(time.Hour), step: send, then: isClaimed},
		{name: "lookup: its owner was another", state: none, news: ownerAlive, given: withheldFor(time.Hour), cfg: lookupOnly, step: stillWithheld},
		{name: "lookup: sent by others meanwhile", state: none, news: uploadDone, given: withheldFor(time.Hour), cfg: lookupOnly, step: stillWithheld},
		{name: "never: lookup, and claimed", state: none, news: claimed, cfg: lookupOnly, step: contentsWithheld},
		{name: "never: lookup, withheld recently, and claimed", state: none, news: claimed, given: withheldFor(time.Hour), cfg: lookupOnly, step: stillWithheld},
		{name: "lookup: no answer in time", state: none, news: pipeline.Unanswered{}, cfg: lookupOnly, step: parkForQuery},
		{name: "lookup: another uploads it", state: uploading, news: look, cfg: lookupOnly, step: lookUpOwner},
		{name: "lookup: the other is still uploading", state: uploading, news: ownerAlive, cfg: lookupOnly, step: waitForOther(time.Minute)},
		{name: "lookup: another tries again", state: isRetry, news: look, cfg: lookupOnly, step: waitForOther(time.Minute)},
		{name: "lookup: the other gave up", state: isRetry, news: look, given: byThisJob, cfg: lookupOnly, step: ask},
		{
			name: "lookup: unknown, and the other gave up", state: isRetry, news: unknown, given: byThisJob, cfg: lookupOnly, step: unknownWithheld,
			then: isWithheld,
		},
		{name: "never: lookup, claimed after the other's", state: isRetry, news: claimed, given: byThisJob, cfg: lookupOnly, step: contentsWithheld},
		{name: "lookup: another's is pending", state: pending, news: look, cfg: lookupOnly, step: waitForVerdict(10*time.Minute, results.BasisShared)},
		{name: "lookup: known here", state: verdict, news: look, cfg: lookupOnly, step: fromCache},
		{name: "lookup: known here, long ago", state: verdict, news: look, given: verdictExpired, cfg: lookupOnly, step: ask},
		{
			name: "lookup: WildFire does not know it any more", state: verdict, news: unknown, given: verdictExpired, cfg: lookupOnly, step: unknownWithheld,
			then: combine(becomes(pipeline.Sample{ChangedAt: decideNow}), isWithheld),
		},
		{name: "never: lookup, claimed, known long ago", state: verdict, news: claimed, given: verdictExpired, cfg: lookupOnly, step: contentsWithheld},
		{
			name: "lookup: unknown under another kind of name", state: refusal, news: unknown, job: script, cfg: lookupOnly, step: unknownWithheld,
			then: combine(becomes(pipeline.Sample{ChangedAt: decideNow}), isWithheld),
		},
		{name: "never: lookup, claimed, under another kind of name", state: refusal, news: claimed, job: script, cfg: lookupOnly, step: contentsWithheld},

		// The policy: not even the hash leaves.
		{name: "kept: first", state: none, news: look, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: its owner was another", state: none, news: ownerAlive, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: an answer to another", state: none, news: unknown, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: claimed", state: none, news: claimed, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: sent by others", state: none, news: uploadDone, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: another uploads it", state: uploading, news: look, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: its owner changed", state: uploading, news: pipeline.OwnerLookedUp{Owner: "third"}, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: an answer while another uploads it", state: uploading, news: unknown, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: claimed while another uploads it", state: uploading, news: claimed, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: sent by another", state: uploading, news: uploadDone, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: another tries again", state: isRetry, news: look, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: its owner gave up", state: isRetry, news: ownerAlive, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: an answer between tries", state: isRetry, news: unknown, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: claimed between tries", state: isRetry, news: claimed, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: sent between tries", state: isRetry, news: uploadDone, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: another's is pending", state: pending, news: look, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: another's became pending", state: pending, news: ownerAlive, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: claimed while pending", state: pending, news: claimed, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: sent while pending", state: pending, news: uploadDone, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: known here", state: verdict, news: look, cfg: neverSubmit, step: fromCache},
		{name: "kept: known here, long ago", state: verdict, news: look, given: verdictExpired, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: its owner decided long ago", state: verdict, news: ownerAlive, given: verdictExpired, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: an answer on what was known long ago", state: verdict, news: unknown, given: verdictExpired, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: claimed, known long ago", state: verdict, news: claimed, given: verdictExpired, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: sent, known long ago", state: verdict, news: uploadDone, given: verdictExpired, cfg: neverSubmit, step: hashWithheld},
		{name: "kept: refused before", state: refusal, news: look, cfg: neverSubmit, step: failRefused},
		{name: "kept: refused under another kind of name", state: refusal, news: look, job: script, cfg: neverSubmit, step: hashWithheld},

		// The rest.
		{
			name: "never: claimed, past the deadline", state: pending, news: claimed, given: pastDeadline, step: pollerAsks,
		},
		{name: "known here, long ago, and nobody is asked", state: verdict, news: look, given: verdictExpired, cfg: noAsk, step: upload},
		{name: "refused before, under another kind of name, and nobody is asked", state: refusal, news: look, job: script, cfg: noAsk, step: upload},
		{
			name: "analyzed under another kind of name", state: refusal, news: analyzing, job: script, step: waitForVerdict(0, results.BasisLookup),
			then: func(s *pipeline.Sample) {
				*s = pipeline.Sample{Size: 7}
				isPending(s)
			},
		},
		{
			name: "tried too recently for that", state: isRetry, news: unknown,
			given: combine(byThisJob, mayHaveArrived, func(s *pipeline.Sample) { s.ChangedAt = before(10 * time.Second) }), step: retry(20 * time.Second),
		},
	}
}

// arguments returns the arguments of Decide for the row.
func (d decision) arguments() (pipeline.Sample, pipeline.Job, pipeline.Circumstances) {
	s := typicalSample(d.state)
	if d.given != nil {
		d.given(&s)
	}

	j := decideJob
	if d.job != nil {
		d.job(&j)
	}

	p := decideCircumstances()
	if d.cfg != nil {
		d.cfg(&p)
	}

	return s, j, p
}

func TestDecide(t *testing.T) {
	t.Parallel()

	for _, d := range decisions() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s, j, p := d.arguments()
			want, _, _ := d.arguments()
			if d.then != nil {
				d.then(&want)
			}

			step, next := pipeline.Decide(s, j, d.news, p, decideNow)
			if diff := cmp.Diff(d.step, step); diff != "" {
				t.Errorf("step (-want +got)\n%s", diff)
			}
			if diff := cmp.Diff(want, next); diff != "" {
				t.Errorf("sample (-want +got)\n%s", diff)
			}
		})
	}
}

// The table has a row for each state and news. The types of news are read from the source code, so
// that a new one cannot be forgotten.
func TestDecideTableIsComplete(t *testing.T) {
	t.Parallel()

	type pair struct {
		state pipeline.State
		event string
	}
	has := map[pair]bool{}
	names := map[string]bool{}
	for _, d := range decisions() {
		has[pair{d.state, newsName(d.news)}] = true
		if names[d.name] {
			t.Errorf("two rows are called %q", d.name)
		}
		names[d.name] = true
	}

	events := newsNames(t)
	if len(events) < 7 {
		t.Fatalf("news %v: the source was not understood", events)
	}
	for _, s := range pipeline.States() {
		for _, e := range events {
			if !has[pair{s, e}] {
				t.Errorf("no row for state %q and the news %s", s, e)
			}
		}
	}
}

func newsName(e pipeline.News) string { return reflect.TypeOf(e).Name() }

// newsNames lists the types that implement News.
func newsNames(t *testing.T) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "decide.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}

	var names []string
	for _, d := range f.Decls {
		fn, ok := d.(*ast.FuncDecl)
		if ok && fn.Recv != nil && fn.Name.Name == "news" {
			names = append(names, fn.Recv.List[0].Type.(*ast.Ident).Name)
		}
	}

	return names
}

// From any sample, and with any sequence of news, the steps lead to an end or a wait. So a worker
// never holds a job forever.
func TestDecideTerminates(t *testing.T) {
	t.Parallel()

	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := randomSample(r)
		j := randomJob(r)
		p := randomCircumstances(r)

		var e pipeline.News = look
		var seen []string
		for i := 0; ; i++ {
			step, next := pipeline.Decide(s, j, e, p, decideNow)
			seen = append(seen, fmt.Sprintf("%s: %s", newsName(e), step.Kind))
			e = nil
			switch step.Kind {
			case pipeline.StepLookUpOwner:
				e = pipeline.OwnerLookedUp{Owner: s.Owner, Gone: r.IntN(2) == 0}
			case pipeline.StepAsk:
				e = randomOf[pipeline.News](r, randomAnswer(r), pipeline.Unanswered{})
			case pipeline.StepAwaitTurn:
				e = randomOf[pipeline.News](r, pipeline.UploadTurn{Owner: p.Self}, pipeline.NotAdmitted{})
			case pipeline.StepSend:
				e = randomOutcome(r)
			case pipeline.StepReconsider:
				e = look
			}
			s = next
			if e == nil {
				break
			}
			if i == 8 {
				t.Fatalf("seed %d: no end after %s", seed, strings.Join(seen, ", "))
			}
		}
	}
}

// Invariants of every sample, for any news.
func TestDecideInvariants(t *testing.T) {
	t.Parallel()

	for seed := range uint64(50_000) {
		r := rand.New(rand.NewPCG(seed, 2))
		s := randomSample(r)
		j := randomJob(r)
		p := randomCircumstances(r)
		e := randomNews(r, s, p)
		before := fmt.Sprintf("%+v %+v", s, s.Refusal)

		step, next := pipeline.Decide(s, j, e, p, decideNow)
		again, nextAgain := pipeline.Decide(s, j, e, p, decideNow)

		uploaded, wasUploaded := e.(pipeline.UploadEnded)
		answered, wasAnswered := e.(pipeline.Answered)
		owned, wasOwned := e.(pipeline.OwnerLookedUp)
		oursNow := s.State == pipeline.StateUploading && s.Owner == p.Self
		counts := s.State == pipeline.StateVerdict && decideNow.Sub(s.CheckedAt) <= p.ReuseDuration(wildfire.Verdict(s.Verdict))
		changed := !cmp.Equal(s, next)

		for rule, broken := range map[string]bool{
			"the same arguments give the same answer":          !cmp.Equal(step, again) || !cmp.Equal(next, nextAgain),
			"the arguments stay as they are":                   before != fmt.Sprintf("%+v %+v", s, s.Refusal),
			"a valid verdict stays":                            counts && changed,
			"attempts decrease only when the sample ends":      next.Attempts < s.Attempts && step.Kind != pipeline.StepFail && !s.Final(),
			"only a job's own upload counts as an attempt":     next.Attempts > s.Attempts && !(wasUploaded && oursNow),
			"the claim of a live owner stays":                  s.State == pipeline.StateUploading && !oursNow && changed && !(wasOwned && owned.Gone && owned.Owner == s.Owner),
			"a pending sample stays pending without an answer": s.State == pipeline.StatePending && changed && !wasAnswered && step.Kind != pipeline.StepFail,
			"only an answer or an upload ends a doubt":         s.Unsure && !next.Unsure && !wasAnswered && !(wasUploaded && oursNow) && !s.Final(),
			"in doubt, a query precedes the upload":            s.Unsure && step.Kind == pipeline.StepAwaitTurn && !wasAnswered,
			"an upload that may have arrived is recorded":      wasUploaded && oursNow && uploaded.Disposition.Unsure && next.State != pipeline.StatePending && step.Kind != pipeline.StepFail && !next.Unsure,
			"only a claimed sample is sent":                    step.Kind == pipeline.StepSend && (next.State != pipeline.StateUploading || next.Owner != p.Self || next.Job != j.Ref().String()),
			"a verdict ends the job":                           step.Kind == pipeline.StepFinish && next.State != pipeline.StateVerdict,
			"a failure has its reason":                         step.Kind == pipeline.StepFail && (step.Cause.Reason == "" || step.Cause.Message == ""),
			"a wait ends":                                      step.Kind == pipeline.StepWait && step.Due.IsZero(),
			"a wait asks about exactly the pending samples":    step.Kind == pipeline.StepWait && step.Asking != (next.State == pipeline.StatePending),
			"no query after the deadline":                      step.Asking && step.Due.After(next.SubmittedAt.Add(p.Deadline)),
			"exactly the parked jobs have a budget":            (step.Kind == pipeline.StepPark) != (step.Budget != ""),
			"exactly the retries have a delay":                 (step.Kind == pipeline.StepRetry) != (step.Delay > 0),
			"exactly the claimed samples have an owner":        (next.State == pipeline.StateUploading) != (next.Owner != ""),
			"a refusal has its reason":                         next.State == pipeline.StateRefused && next.Refusal == nil,
			"a new verdict comes from WildFire's answer":       next.State == pipeline.StateVerdict && changed && !(wasAnswered && int(answered.Verdict) == next.Verdict),
			"uploads need a rule that allows them":             (step.Kind == pipeline.StepAwaitTurn || step.Kind == pipeline.StepSend) && p.Ruling.Submit != pipeline.SubmitAlways,
			"queries need a rule that allows them":             step.Kind == pipeline.StepAsk && p.Ruling.Submit == pipeline.SubmitNever,
			"an upload records its rule":                       step.Kind == pipeline.StepSend && next.Rule != p.Ruling.Rule,
			"only a rule withholds":                            step.Cause.Reason == results.Withheld && p.Ruling.Submit == pipeline.SubmitAlways,
			"a reconsideration follows a change":               step.Kind == pipeline.StepReconsider && !changed,
		} {
			if broken {
				t.Fatalf("seed %d: %s\n%s %+v on %+v\ngives %+v and %+v", seed, rule, newsName(e), e, s, step, next)
			}
		}
	}
}

func randomOf[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// randomAgo returns a time in the past, of any order of magnitude.
func randomAgo(r *rand.Rand) time.Time {
	return before(time.Duration(r.Int64N(int64(time.Second) << r.IntN(24))))
}

func randomCircumstances(r *rand.Rand) pipeline.Circumstances {
	p := decideCircumstances()
	p.AskFirst = r.IntN(2) == 0
	p.MaxAttempts = 1 + r.IntN(8)
	p.Random = r.Float64()
	p.Ruling = pipeline.Ruling{Rule: "policy[0]", Submit: randomOf(r, pipeline.Submits()...)}

	return p
}

func randomJob(r *rand.Rand) pipeline.Job {
	j := decideJob
	j.Priority = randomOf(r, pipeline.Priorities()...)
	j.Filename = randomOf(r, "a.exe", "a.js", "a")

	return j
}

// randomSample returns a sample that the ledger could hold.
func randomSample(r *rand.Rand) pipeline.Sample {
	s := pipeline.Sample{
		State:       randomOf(r, pipeline.States()...),
		ChangedAt:   randomAgo(r),
		Attempts:    r.IntN(8),
		Resubmitted: r.IntN(2) == 0,
		Size:        int64(r.IntN(2) * 7),
	}
	job := randomOf(r, otherJob, decideJob.Ref().String())
	lane := randomOf(r, pipeline.Priorities()...)

	switch s.State {
	case pipeline.StateNone:
		if s.Unsure = r.IntN(2) == 0; s.Unsure {
			s.Job = job
			s.Priority = lane
		}
		if r.IntN(2) == 0 {
			s.WithheldAt = randomAgo(r)
			s.CheckedAt = s.WithheldAt
		}
	case pipeline.StateUploading:
		s.Owner = randomOf(r, thisWorker, otherWorker)
		s.Job = job
		s.Priority = lane
		s.Unsure = r.IntN(4) == 0
	case pipeline.StateRetrying:
		s.Job = job
		s.Priority = lane
		s.Unsure = r.IntN(2) == 0
	case pipeline.StatePending:
		s.Job = randomOf(r, "", job)
		s.SubmittedAt = randomAgo(r)
	case pipeline.StateVerdict:
		s.Verdict = int(randomOf(r, wildfire.Benign, wildfire.Malware))
		s.DecidedAt = randomAgo(r)
		s.CheckedAt = s.DecidedAt
	case pipeline.StateRefused:
		s.Refusal = &pipeline.Refusal{Error: noType, Ext: randomOf(r, "", ".exe", ".js"), At: randomAgo(r)}
	}

	return s
}

func randomAnswer(r *rand.Rand) pipeline.News {
	v := randomOf(r, wildfire.Benign, wildfire.Malware, wildfire.Pending, wildfire.AnalysisError, wildfire.Unknown, wildfire.InvalidHash, wildfire.Flawed)

	return pipeline.Answered{HasEntry: v != wildfire.Unknown || r.IntN(2) == 0, Verdict: v}
}

func randomOutcome(r *rand.Rand) pipeline.News {
	return pipeline.UploadEnded{Disposition: pipeline.Disposition{
		Action:       randomOf(r, pipeline.Actions()...),
		Reason:       results.Rejected,
		Message:      "said so",
		Delay:        randomOf(r, 0, time.Second, time.Hour),
		MaxAttempts:  randomOf(r, 0, 3),
		Unsure:       r.IntN(2) == 0,
		ContentFault: r.IntN(2) == 0,
	}}
}

func randomNews(r *rand.Rand, s pipeline.Sample, p pipeline.Circumstances) pipeline.News {
	return randomOf[pipeline.News](r,
		look,
		pipeline.OwnerLookedUp{Owner: randomOf(r, s.Owner, thisWorker, otherWorker), Gone: r.IntN(2) == 0},
		randomAnswer(r),
		pipeline.Unanswered{},
		pipeline.NotAdmitted{},
		pipeline.UploadTurn{Owner: p.Self},
		randomOutcome(r),
	)
}

// A sample that is given up still says that jobs were withheld, so that they get a later verdict.
func TestWithheldJobsAreNotForgotten(t *testing.T) {
	t.Parallel()
	withheld := decideNow.Add(-48 * time.Hour)
	s := pipeline.Sample{State: pipeline.StatePending, SubmittedAt: withheld, WithheldAt: withheld}

	step, next := pipeline.Decide(s, pipeline.Job{}, pipeline.NoNews{}, pipeline.Circumstances{
		Config: pipeline.DefaultConfig(),
		Ruling: pipeline.Unruled(),
	}, decideNow)

	if step.Kind != pipeline.StepFail || !next.WithheldAt.Equal(withheld) {
		t.Errorf("%s, and the sample is %+v", step.Kind, next)
	}
}
