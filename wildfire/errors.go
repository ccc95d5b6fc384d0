package wildfire

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// What can go wrong, for errors.Is. An answer of the service matches exactly one specific sentinel; the
// families below them are matched in addition. The numbers are HTTP statuses (WildFire API Reference,
// "Error Codes").
var (
	ErrRedirect         = errors.New("redirected")                    // 3xx: plain http, or a captive portal; not followed
	ErrInvalidRequest   = errors.New("invalid request")               // 400, 456
	ErrUnauthorized     = errors.New("credentials refused")           // 401, twice
	ErrForbidden        = errors.New("no permission")                 // 403: the credential may not do this
	ErrSampleForbidden  = errors.New("sample not available to you")   // 403 on get/sample, get/pcap and the like
	ErrInvalidDate      = errors.New("invalid date")                  // 403 on get/verdicts/changed: not an authentication fault
	ErrNotReady         = errors.New("not ready or unknown")          // 404, or an empty answer, on reports, captures and artifacts; also matches ErrNotFound
	ErrNotFound         = errors.New("not found")                     // 404 where something was asked for
	ErrNoSuchOperation  = errors.New("no such operation")             // 404 elsewhere: the base URL is wrong
	ErrMethod           = errors.New("method not allowed")            // 405
	ErrConflict         = errors.New("conflict")                      // 409
	ErrGone             = errors.New("sample gone")                   // 410
	ErrTooLarge         = errors.New("file too large")                // 413, or over Config.MaxFileSize
	ErrTooManyEntries   = errors.New("too many entries")              // 413 on get/verdicts, or more than 1,000 links
	ErrMediaType        = errors.New("unsupported media type")        // 415: the body's encoding, not the file's type
	ErrSameVerdict      = errors.New("sample has that verdict")       // 417
	ErrUnsupportedType  = errors.New("unsupported file type")         // 418
	ErrMalformedList    = errors.New("malformed list of links")       // 418 on submit/links
	ErrUploadQuota      = errors.New("daily uploads used up")         // 419 on submit; also matches ErrQuota
	ErrQueryQuota       = errors.New("daily queries used up")         // 419 elsewhere; also matches ErrQuota
	ErrMissingArgument  = errors.New("missing argument")              // 420
	ErrInvalidArgument  = errors.New("invalid argument")              // 421, or refused before sending
	ErrUnprocessable    = errors.New("unprocessable")                 // 422
	ErrTooManyRequests  = errors.New("too many requests")             // 429: slow down; the day's quota is 419
	ErrServer           = errors.New("internal error of the service") // 500 and the 5xx without a row of their own
	ErrGateway          = errors.New("bad gateway")                   // 502, 504, and 408, which the service's proxy alone gives
	ErrUnavailable      = errors.New("service unavailable")           // 503
	ErrUploadFailed     = errors.New("service could not store file")  // 513
	ErrUnexpectedStatus = errors.New("unexpected status")             // everything without a row
	ErrRejected         = errors.New("rejected")                      // 200 with an <error> document

	ErrAnswer        = errors.New("unusable answer")          // success, but not the document that belongs to the call
	ErrForeignAnswer = errors.New("answer is not WildFire's") // success, in no form of WildFire's: see APIError.Foreign; also matches ErrAnswer
	ErrNoVerdict     = errors.New("answer without verdict")   // a record that holds no readable verdict; also matches ErrAnswer
	ErrAmbiguous     = errors.New("several samples")          // an MD5 that belongs to more than one sample
	ErrTransport     = errors.New("no answer")                // connection, TLS, proxy, time-out: there was no status
	ErrStalled       = errors.New("transfer stalled")         // no byte moved for StallTimeout, no answer within AnswerTimeout; also matches ErrTransport
	ErrToken         = errors.New("no token")                 // the TokenSource failed; its error is wrapped

	ErrEmptyFile      = errors.New("empty file")                 // refused locally: the service answers 513
	ErrSource         = errors.New("reading file")               // File.Open, or reading what it returned, failed
	ErrContentChanged = errors.New("contents changed")           // see ContentError
	ErrAnswerMismatch = errors.New("service saw other contents") // see ContentError; also matches ErrContentChanged
	ErrDownloadLimit  = errors.New("download too large")         // over Config.MaxDownload

	ErrQuota = errors.New("quota exceeded") // family of ErrUploadQuota and ErrQueryQuota
)

// APIError is what every failed call returns.
//
// Its text holds the operation, the status and at most a short, printable excerpt of the service's own
// message. It never holds a body, a header, a URL or a credential.
type APIError struct {
	// Op is what was asked for.
	Op Op

	// Status is the HTTP status, 0 where there was no answer or the call was refused locally.
	Status int

	// Message is the service's error message: at most 200 bytes of printable ASCII, without the quotes that the
	// service puts around it, with URLs and the credential cut out. Empty where there was none. For people:
	// branch on the sentinels.
	Message string

	// RetryAfter is how long the service asked to wait, between 0 (it did not say) and MaxRetryAfter.
	RetryAfter time.Duration

	// MaybeDone is set where the whole request had gone out and no answer of WildFire's came back: there
	// was none, it broke off too early to tell whose it was, or it was a success or the error of a gateway
	// (502, 504) that something on the way gave. The service may have acted on the request all the same:
	// after a submission, ask for the verdict before sending the file again.
	MaybeDone bool

	// Foreign describes an answer that is not in WildFire's form, and that something on the way gave,
	// such as a captive portal, a proxy, a web filter or a virus scanner. It is nil for WildFire's own
	// answers and where there was none. With a success the error matches ErrForeignAnswer; with any other
	// status it matches the sentinel of that status, which then need not mean what WildFire means by it.
	// The pages of WildFire's own front end cannot be told from those of a proxy, and count as foreign.
	Foreign *ForeignAnswer

	// Err is the cause of a failure without a status, nil otherwise.
	Err error

	kind error
}

// Error describes the failure in one line.
func (e *APIError) Error() string {
	var text strings.Builder
	text.WriteString("wildfire: ")
	text.WriteString(string(e.Op))
	text.WriteString(": ")
	if e.Status != 0 {
		fmt.Fprintf(&text, "%d ", e.Status)
	}
	if e.kind != nil {
		text.WriteString(e.kind.Error())
	}
	if e.Message != "" {
		fmt.Fprintf(&text, " (%s)", e.Message)
	}
	if e.Foreign != nil {
		fmt.Fprintf(&text, "; answered by something on the way to WildFire: %s", e.Foreign)
	}
	if e.Err != nil {
		text.WriteString(": ")
		text.WriteString(e.cause())
	}
	return text.String()
}

// ambiguous reports whether an answer leaves open if WildFire got the request: it broke off, or
// something on the way answered with a success, or in place of a server that it had asked.
func (e *APIError) ambiguous() bool {
	if errors.Is(e.kind, ErrTransport) || errors.Is(e.kind, ErrStalled) {
		return true
	}

	return e.Foreign != nil && (succeeded(e.Status) || e.Status == 502 || e.Status == 504)
}

// cause is the text of Err, reduced where it came from the network: what the other side sent may be in it.
func (e *APIError) cause() string {
	switch e.kind {
	case ErrTransport, ErrStalled, ErrAnswer: //nolint:errorlint // a sentinel, never wrapped
		return describe(e.Err)
	}
	return e.Err.Error()
}

// Unwrap gives the sentinels and the cause to errors.Is and errors.As.
func (e *APIError) Unwrap() []error {
	chain := make([]error, 0, 3)
	if e.kind != nil {
		chain = append(chain, e.kind)
		if family, ok := families[e.kind]; ok {
			chain = append(chain, family)
		}
	}
	if e.Err != nil {
		chain = append(chain, e.Err)
	}
	return chain
}

var families = map[error]error{
	ErrUploadQuota:    ErrQuota,
	ErrQueryQuota:     ErrQuota,
	ErrNotReady:       ErrNotFound,
	ErrNoVerdict:      ErrAnswer,
	ErrForeignAnswer:  ErrAnswer,
	ErrStalled:        ErrTransport,
	ErrAnswerMismatch: ErrContentChanged,
}

// ContentError tells which of two things happened to the contents of an upload.
//
// Where the file's bytes or size are not what File promised, Answered is empty and the error matches
// ErrContentChanged: the source changed, the end of the body was withheld, and nothing was submitted.
//
// Where the service reports another SHA-256 than that of the bytes that were sent, the error matches
// ErrAnswerMismatch as well: something between here and there altered the upload, and it was counted. The
// Submission is returned along with the error.
type ContentError struct {
	Expected string // SHA-256 that File promised, if any; or that of the bytes sent
	Sent     string // SHA-256 of the bytes sent; empty when the size differed
	Answered string // SHA-256 or MD5 in the service's answer
	Detail   string // what differed
}

// Error says what differed; digests are not secret.
func (e *ContentError) Error() string { return e.Detail }

// classify gives the sentinel for a status that is not a success. Several statuses mean different things
// to different operations; message, in lower case, decides only where the operation does not.
func classify(op Op, status int, message string) error {
	switch status {
	case 400, 456:
		return ErrInvalidRequest
	case 401:
		return ErrUnauthorized
	case 403:
		switch {
		case op == OpVerdictsChanged && !strings.Contains(message, "permission"):
			return ErrInvalidDate
		case op.fetches():
			return ErrSampleForbidden
		}
		return ErrForbidden
	case 404:
		switch {
		case op == OpReport || op == OpPCAP || op == OpWebArtifacts:
			return ErrNotReady
		case op.fetches(), op == OpVerdict: // an appliance knows no URLs
			return ErrNotFound
		}
		return ErrNoSuchOperation
	case 405:
		return ErrMethod
	case 409:
		return ErrConflict
	case 410:
		return ErrGone
	case 413:
		if op == OpVerdicts {
			return ErrTooManyEntries
		}
		return ErrTooLarge
	case 415:
		return ErrMediaType
	case 417:
		return ErrSameVerdict
	case 418:
		if op == OpSubmitLinks {
			return ErrMalformedList
		}
		return ErrUnsupportedType
	case 419:
		if op.submits() {
			return ErrUploadQuota
		}
		return ErrQueryQuota
	case 420:
		return ErrMissingArgument
	case 421:
		return ErrInvalidArgument
	case 422:
		return ErrUnprocessable
	case 429:
		return ErrTooManyRequests
	case 408, 502, 504:
		return ErrGateway
	case 503:
		return ErrUnavailable
	case 513:
		return ErrUploadFailed
	}
	switch {
	case status >= 300 && status < 400:
		return ErrRedirect
	case status >= 500 && status < 600:
		return ErrServer
	}
	return ErrUnexpectedStatus
}

// succeeded tells the statuses after which the answer itself decides.
func succeeded(status int) bool { return status >= 200 && status < 300 }

// cause is why an attempt failed: the watchdog, where that ended it, and not the cancellation that it did so
// by.
func cause(ctx context.Context, err error) error {
	if reason := context.Cause(ctx); reason != nil && errors.Is(reason, ErrStalled) {
		return reason
	}
	// A transport of the caller's own may be a client, whose errors show the URL.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
