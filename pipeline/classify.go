package pipeline

import (
	"context"
	"errors"
	"net/http"
	"time"

	"backburn/results"
	"backburn/wildfire"
)

// Faults of a job's contents that are found without WildFire.
var (
	ErrContentMissing = errors.New("the contents are not there")
	ErrContentChanged = errors.New("the contents changed after they were submitted")
	ErrOutside        = errors.New("the contents lie outside of the source's folder")
	ErrUnreadable     = errors.New("the contents cannot be read")

	// ErrOwn means that the contents are Backburn's own, or contain one of its secrets.
	ErrOwn = errors.New("must not be uploaded")

	// ErrUnreachable means that this worker cannot reach the contents of a source. The job is not
	// at fault: another worker may reach them.
	ErrUnreachable = errors.New("this worker cannot reach the source's contents")
)

// Op is the kind of call whose outcome is classified.
type Op string

// The operations.
const (
	OpUpload Op = "upload"
	OpQuery  Op = "query"
)

// Action is what to do after the outcome of a call.
type Action int

// The actions.
const (
	Complete   Action = iota // the call succeeded
	Retry                    // retry after a delay, and count the attempt
	Defer                    // the job is not at fault, or it is not known yet whether it is: retry without counting
	ParkBudget               // the day's budget is used up: nobody uses it until the reset; not counted
	PauseFleet               // every call would fail like this: pause the calls of the whole fleet; not counted
	Doubt                    // WildFire refuses this sample, or every sample: Refusals finds out which
	ReleaseJob               // this worker cannot do the job, but another may: release it; not counted
	Terminate                // the job or the query cannot succeed
)

// Actions lists every action.
func Actions() []Action {
	return []Action{Complete, Retry, Defer, ParkBudget, PauseFleet, Doubt, ReleaseJob, Terminate}
}

// Label returns the action's value for the label of a metric.
func (a Action) Label() string {
	return [...]string{"taken", "retried", "deferred", "quota", "paused", "doubted", "handed_back", "refused"}[a]
}

// Disposition is what an outcome means for a job.
type Disposition struct {
	Action Action

	// Reason says why the job fails: at once after Terminate, or after the last attempt of Retry.
	Reason results.Reason

	Message string // for operators
	Status  int    // HTTP status; 0 without an answer

	// Delay is the delay before the job is tried again. The caller may use a longer one, and after
	// Retry worker.retry_max limits Delay.
	Delay time.Duration

	// MaxAttempts limits the sample's attempts, including those before this one. If the configured
	// limit is lower, that applies. 0: only the configured limit applies.
	MaxAttempts int

	Unsure bool // WildFire may have received the upload: ask before the next one

	// Doubted says that perhaps only this sample is refused. Refusals sets it. If the fleet is
	// paused because of such a refusal, the first upload that succeeds ends the pause.
	Doubted bool

	// ContentFault says that the contents are the reason: any job with the same contents and the
	// same extension would fail.
	ContentFault bool
}

// outcomeRow is a row of onUpload or onQuery. The first row whose sentinel matches decides.
type outcomeRow struct {
	sentinel    error
	disposition Disposition
}

var (
	rejected  = Disposition{Action: Terminate, Reason: results.Rejected}
	transient = Disposition{Action: Retry, Reason: results.AttemptsExhausted}
	doubtful  = Disposition{Action: Doubt, Reason: results.Rejected, MaxAttempts: 3}
	noToken   = Disposition{Action: Defer, Delay: 5 * time.Second, Message: "no access token; see `backburn doctor`"}
	noAccess  = Disposition{Action: PauseFleet, Message: "WildFire refuses the credential (401): check the API key's status and the service account"}
)

// onUpload and onQuery map the error of a call to its meaning. They follow WildFire's error codes
// (WildFire API Reference, "Error Codes").
var (
	onUpload = []outcomeRow{
		{context.Canceled, Disposition{Action: Defer}},
		{ErrOwn, Disposition{Action: Terminate, Reason: results.Withheld}},
		{wildfire.ErrToken, noToken},
		{wildfire.ErrUnauthorized, noAccess},
		{wildfire.ErrForeignAnswer, doubtful},
		{wildfire.ErrForbidden, doubtful},
		{wildfire.ErrNoSuchOperation, doubtful},
		{wildfire.ErrRedirect, doubtful},
		{wildfire.ErrUnexpectedStatus, doubtful},
		{wildfire.ErrQuota, Disposition{Action: ParkBudget}},
		{wildfire.ErrContentChanged, Disposition{Action: Terminate, Reason: results.ContentChanged}},
		{ErrContentChanged, Disposition{Action: Terminate, Reason: results.ContentChanged}},
		{ErrContentMissing, Disposition{Action: Terminate, Reason: results.ContentMissing}},
		{ErrOutside, Disposition{Action: Terminate, Reason: results.Forbidden}},
		{ErrUnreachable, Disposition{Action: ReleaseJob, Delay: 10 * time.Second}},
		{ErrUnreadable, Disposition{Action: Retry, Reason: results.ContentMissing}},
		{wildfire.ErrEmptyFile, Disposition{Action: Terminate, Reason: results.Empty, ContentFault: true}},
		{wildfire.ErrTooLarge, Disposition{Action: Terminate, Reason: results.TooLarge}},
		{wildfire.ErrUnsupportedType, Disposition{Action: Terminate, Reason: results.UnsupportedType, ContentFault: true}},
		{wildfire.ErrUnprocessable, Disposition{Action: Terminate, Reason: results.Unprocessable, ContentFault: true}},
		{wildfire.ErrUploadFailed, Disposition{Action: Retry, Reason: results.Unprocessable, MaxAttempts: 3, ContentFault: true}},
		{wildfire.ErrTooManyRequests, transient},
		{wildfire.ErrConflict, Disposition{Action: Retry, Reason: results.Rejected, MaxAttempts: 3}},
		{wildfire.ErrInvalidRequest, rejected},
		{wildfire.ErrMethod, rejected},
		{wildfire.ErrGone, rejected},
		{wildfire.ErrMediaType, rejected},
		{wildfire.ErrMissingArgument, rejected},
		{wildfire.ErrInvalidArgument, rejected},
		{wildfire.ErrRejected, rejected},
		{wildfire.ErrServer, transient},
		{wildfire.ErrGateway, transient},
		{wildfire.ErrUnavailable, transient},
		{wildfire.ErrTransport, transient},
		{wildfire.ErrAnswer, transient},
		{wildfire.ErrSource, Disposition{Action: Retry, Reason: results.ContentMissing}},
	}
	// Terminate means that WildFire rejects the query. A link whose query is rejected counts as
	// unknown to WildFire, so that the query is not repeated and blocks no other.
	onQuery = []outcomeRow{
		{wildfire.ErrToken, noToken},
		{wildfire.ErrUnauthorized, noAccess},
		{wildfire.ErrForeignAnswer, Disposition{Action: PauseFleet}},
		{wildfire.ErrForbidden, Disposition{Action: PauseFleet, Message: "queries are forbidden (403): check the credential's permissions and license, and the proxy"}},
		{wildfire.ErrNoSuchOperation, Disposition{Action: PauseFleet, Message: "there is no WildFire API at this address (404): check wildfire.url"}},
		{wildfire.ErrRedirect, Disposition{Action: PauseFleet, Message: "the answer was a redirect: check wildfire.url and the proxy"}},
		{wildfire.ErrUnexpectedStatus, Disposition{Action: PauseFleet}},
		{wildfire.ErrQuota, Disposition{Action: ParkBudget}},
		{wildfire.ErrInvalidRequest, rejected},
		{wildfire.ErrNotFound, rejected},
		{wildfire.ErrMethod, rejected},
		{wildfire.ErrGone, rejected},
		{wildfire.ErrTooLarge, rejected},
		{wildfire.ErrTooManyEntries, rejected},
		{wildfire.ErrMediaType, rejected},
		{wildfire.ErrUnsupportedType, rejected},
		{wildfire.ErrMissingArgument, rejected},
		{wildfire.ErrInvalidArgument, rejected},
		{wildfire.ErrUnprocessable, rejected},
		{wildfire.ErrRejected, rejected},
	}
)

// Classify decides what the outcome of a call means, except that Refusals decides after Doubt. An
// error that matches no row means Retry.
func Classify(op Op, err error) Disposition {
	if err == nil {
		return Disposition{Action: Complete}
	}

	d := transient
	for _, row := range rowsOf(op) {
		if errors.Is(err, row.sentinel) {
			d = row.disposition
			break
		}
	}

	if d.Message == "" {
		d.Message = err.Error()
	}

	var api *wildfire.APIError
	if errors.As(err, &api) {
		d.Status = api.Status
		d.Unsure = api.MaybeDone
		if d.Status == http.StatusRequestEntityTooLarge && api.RetryAfter > 0 {
			d.Action = Retry // the refusal is temporary: RFC 9110, section 15.5.14
		}
		if d.Action == Retry {
			d.Delay = api.RetryAfter
		}
	}

	return d
}

func rowsOf(op Op) []outcomeRow {
	if op == OpQuery {
		return onQuery
	}

	return onUpload
}

// Processed reports whether WildFire processed the request: it accepted the request, or rejected it
// for good. This shows that WildFire is available and accepts our credential. An answer that says
// that WildFire itself fails, such as 503, does not count.
func (d Disposition) Processed() bool {
	return d.Action == Complete || d.Action == Terminate && d.Status != 0
}

// HTTPStatus returns the status of the call's answer, or 0 without an answer. The client does not
// report the status of a success, which is always 200 (WildFire API Reference, "Error Codes").
func (d Disposition) HTTPStatus() int {
	if d.Action == Complete {
		return http.StatusOK
	}

	return d.Status
}
