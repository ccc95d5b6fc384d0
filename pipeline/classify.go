package pipeline

import (
	"context"
	"errors"
	"net/http"
	"time"

	"backburn/results"
	"backburn/wildfire"
)

// Op is the kind of call whose outcome is classified: the two budgets have little in common.
type Op string

// The operations.
const (
	OpUpload Op = "upload"
	OpQuery  Op = "query"
)

// Action is what follows from the outcome of a call.
type Action int

// The actions.
const (
	Complete   Action = iota // done: go on
	Retry                    // a fault: try again after a delay, and count the attempt
	Defer                    // not the job's fault and not the service's: again, uncounted
	ParkBudget               // the day's budget is used up: stop it fleet-wide until the reset, uncounted
	PauseFleet               // nobody's call would fare better: stop the budget with growing pauses, uncounted
	Terminate                // the service will never take it
)

// Disposition is what an outcome means for a job.
type Disposition struct {
	Action  Action
	Reason  results.Reason // of Terminate, and of Retry when attempts run out
	Message string         // for operators
	Status  int            // HTTP status, 0 where there was none
	Delay   time.Duration  // the service's own wish; 0: back off as configured
	Tries   int            // most attempts for this fault; 0: as configured
	Unsure  bool           // the service may have taken the upload: ask before sending again
	Content bool           // of Terminate: it holds for these contents, whoever hands them in
}

// rule is a row of the table: the first sentinel that matches decides.
type rule struct {
	is   error
	then Disposition
}

var (
	rejected = Disposition{Action: Terminate, Reason: results.Rejected}
	mayPass  = Disposition{Action: Retry, Reason: results.AttemptsExhausted}
)

// onUpload and onQuery are what the outcomes mean, after the service's error codes
// (WildFire API Reference, "Error Codes"). Nothing else in the pipeline judges an error.
var (
	onUpload = []rule{
		{context.Canceled, Disposition{Action: Defer}},
		{wildfire.ErrToken, Disposition{Action: Defer, Delay: 5 * time.Second, Message: "no access token; see `backburn token --status`"}},
		{wildfire.ErrUnauthorized, Disposition{Action: PauseFleet, Message: "WildFire refuses the credential (401): check the API key's status and the service account"}},
		{wildfire.ErrForbidden, Disposition{Action: PauseFleet, Message: "WildFire forbids uploads with this credential (403): check its permissions and licence"}},
		{wildfire.ErrNoSuchOperation, Disposition{Action: PauseFleet, Message: "there is no WildFire API at this address (404): check wildfire.url"}},
		{wildfire.ErrRedirect, Disposition{Action: PauseFleet, Message: "the answer was a redirect: check wildfire.url and the proxy"}},
		{wildfire.ErrQuota, Disposition{Action: ParkBudget}},
		{wildfire.ErrContentChanged, Disposition{Action: Terminate, Reason: results.ContentChanged}},
		{errContentChanged, Disposition{Action: Terminate, Reason: results.ContentChanged}},
		{errContentMissing, Disposition{Action: Terminate, Reason: results.ContentMissing}},
		{errContentForbidden, Disposition{Action: Terminate, Reason: results.Forbidden}},
		{errRootAway, Disposition{Action: Defer, Delay: 10 * time.Second}},
		{errUnreadable, Disposition{Action: Retry, Reason: results.ContentMissing}},
		{wildfire.ErrEmptyFile, Disposition{Action: Terminate, Reason: results.Empty, Content: true}},
		{wildfire.ErrTooLarge, Disposition{Action: Terminate, Reason: results.TooLarge, Content: true}},
		{wildfire.ErrUnsupportedType, Disposition{Action: Terminate, Reason: results.UnsupportedType, Content: true}},
		{wildfire.ErrUnprocessable, Disposition{Action: Terminate, Reason: results.Unprocessable, Content: true}},
		{wildfire.ErrUploadFailed, Disposition{Action: Retry, Reason: results.Unprocessable, Tries: 3, Content: true}},
		{wildfire.ErrTooManyRequests, mayPass},
		{wildfire.ErrConflict, Disposition{Action: Retry, Reason: results.Rejected, Tries: 3}},
		{wildfire.ErrInvalidRequest, rejected},
		{wildfire.ErrMethod, rejected},
		{wildfire.ErrGone, rejected},
		{wildfire.ErrMediaType, rejected},
		{wildfire.ErrMissingArgument, rejected},
		{wildfire.ErrInvalidArgument, rejected},
		{wildfire.ErrRejected, rejected},
		{wildfire.ErrServer, mayPass},
		{wildfire.ErrGateway, mayPass},
		{wildfire.ErrUnavailable, mayPass},
		{wildfire.ErrTransport, mayPass},
		{wildfire.ErrAnswer, mayPass},
		{wildfire.ErrUnexpectedStatus, rejected},
		{wildfire.ErrSource, Disposition{Action: Retry, Reason: results.ContentMissing}},
	}
	// Terminate means that what was asked about is wrong, and the call is good for nothing else: a link
	// goes on without an answer, so that it holds up no others, to its refusal or its deadline.
	onQuery = []rule{
		{wildfire.ErrUnauthorized, Disposition{Action: PauseFleet, Message: "WildFire refuses the credential (401): check the API key's status and the service account"}},
		{wildfire.ErrForbidden, Disposition{Action: PauseFleet, Message: "WildFire forbids queries with this credential (403): check its permissions and licence"}},
		{wildfire.ErrNoSuchOperation, Disposition{Action: PauseFleet, Message: "there is no WildFire API at this address (404): check wildfire.url"}},
		{wildfire.ErrRedirect, Disposition{Action: PauseFleet, Message: "the answer was a redirect: check wildfire.url and the proxy"}},
		{wildfire.ErrQuota, Disposition{Action: ParkBudget}},
		{wildfire.ErrInvalidRequest, rejected},
		{wildfire.ErrNotFound, rejected},
		{wildfire.ErrMethod, rejected},
		{wildfire.ErrGone, rejected},
		{wildfire.ErrTooLarge, rejected},
		{wildfire.ErrMediaType, rejected},
		{wildfire.ErrUnsupportedType, rejected},
		{wildfire.ErrMissingArgument, rejected},
		{wildfire.ErrInvalidArgument, rejected},
		{wildfire.ErrUnprocessable, rejected},
		{wildfire.ErrRejected, rejected},
		{wildfire.ErrUnexpectedStatus, rejected},
	}
)

// Classify decides what the outcome of a call means. It is the only place that does.
// What no row names is a fault: it is tried again, to the end of the attempts.
func Classify(op Op, err error) Disposition {
	if err == nil {
		return Disposition{Action: Complete}
	}
	rules, d := onUpload, mayPass
	if op == OpQuery {
		rules = onQuery
	}
	for _, r := range rules {
		if errors.Is(err, r.is) {
			d = r.then
			break
		}
	}
	if d.Message == "" {
		d.Message = err.Error()
	}
	var api *wildfire.APIError
	if errors.As(err, &api) {
		d.Status, d.Unsure = api.Status, api.MaybeDone
		if d.Action == Retry {
			d.Delay = api.RetryAfter
		}
	}
	return d
}

// answered reports whether the service judged what it was sent, for good or ill: it works, and
// knows us.
func (d Disposition) answered() bool {
	return d.Action == Complete || d.Action == Terminate && d.Status != 0
}

// rejection is the failure of what WildFire calls wrong.
func rejection(message string) results.Error {
	return results.Error{Reason: results.Rejected, Message: message}
}

// httpStatus is the status of the call's answer, 0 where there was none. Of a success the client
// tells no more than that; the API has one status for it (WildFire API Reference, error codes).
func (d Disposition) httpStatus() int {
	if d.Action == Complete {
		return http.StatusOK
	}
	return d.Status
}
