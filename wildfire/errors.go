package wildfire

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Sentinels for errors.Is. The error of a failed call matches exactly one specific sentinel, and in
// some cases a more general one as well. The numbers are HTTP statuses (WildFire API Reference,
// "Error Codes").
var (
	ErrRedirect         = errors.New("redirected")                    // 3xx: plain http, or a captive portal; not followed
	ErrInvalidRequest   = errors.New("invalid request")               // 400, 456
	ErrUnauthorized     = errors.New("credentials refused")           // 401, also with the next token
	ErrForbidden        = errors.New("no permission")                 // 403: the credential may not do this
	ErrSampleForbidden  = errors.New("sample not available to you")   // 403 on get/sample, get/pcap and the like
	ErrInvalidDate      = errors.New("invalid date")                  // 403 on get/verdicts/changed, unless the message says that a permission is missing
	ErrNotReady         = errors.New("not ready or unknown")          // 404 on reports, captures and artifacts, or a document without data; also matches ErrNotFound
	ErrNotFound         = errors.New("not found")                     // 404 on a request for a verdict, a sample or a test file
	ErrNoSuchOperation  = errors.New("no such operation")             // 404 on any other operation: wrong base URL, or the service does not support the operation
	ErrMethod           = errors.New("method not allowed")            // 405
	ErrConflict         = errors.New("conflict")                      // 409
	ErrGone             = errors.New("sample gone")                   // 410
	ErrTooLarge         = errors.New("file too large")                // 413, or over Config.MaxFileSize
	ErrTooManyEntries   = errors.New("too many entries")              // 413 on get/verdicts
	ErrMediaType        = errors.New("unsupported media type")        // 415: the body's encoding, not the file's type
	ErrSameVerdict      = errors.New("sample has that verdict")       // 417
	ErrUnsupportedType  = errors.New("unsupported file type")         // 418
	ErrMalformedList    = errors.New("malformed list of links")       // 418 on submit/links
	ErrUploadQuota      = errors.New("daily uploads used up")         // 419 on a submission of a file or links; also matches ErrQuota
	ErrQueryQuota       = errors.New("daily queries used up")         // 419 elsewhere; also matches ErrQuota
	ErrMissingArgument  = errors.New("missing argument")              // 420
	ErrInvalidArgument  = errors.New("invalid argument")              // 421, or refused before sending
	ErrUnprocessable    = errors.New("unprocessable")                 // 422
	ErrTooManyRequests  = errors.New("too many requests")             // 429: slow down; the day's quota is 419
	ErrServer           = errors.New("internal error of the service") // 500, and every 5xx without a sentinel of its own
	ErrGateway          = errors.New("bad gateway")                   // 502, 504, and 408, which only the service's proxy returns
	ErrUnavailable      = errors.New("service unavailable")           // 503
	ErrUploadFailed     = errors.New("service could not store file")  // 513
	ErrUnexpectedStatus = errors.New("unexpected status")             // every other status
	ErrRejected         = errors.New("rejected")                      // 200 with an <error> document

	ErrAnswer        = errors.New("unusable answer")          // success status, but not the expected document
	ErrForeignAnswer = errors.New("answer is not WildFire's") // success status, but not sent by WildFire: see APIError.Foreign; also matches ErrAnswer
	ErrNoVerdict     = errors.New("answer without verdict")   // no record, or one without a readable verdict; also matches ErrAnswer
	ErrAmbiguous     = errors.New("several samples")          // an MD5 that belongs to more than one sample
	ErrTransport     = errors.New("no complete answer")       // connection, TLS, proxy, time-out, canceled context: no status, unless the answer broke off
	ErrStalled       = errors.New("transfer stalled")         // no progress for StallTimeout, or no answer within AnswerTimeout; also matches ErrTransport
	ErrToken         = errors.New("no token")                 // the TokenSource failed; its error is wrapped

	ErrEmptyFile      = errors.New("empty file")                 // refused locally: the service answers 513
	ErrSource         = errors.New("reading file")               // File.Open or a read from its result failed
	ErrContentChanged = errors.New("contents changed")           // see ContentError
	ErrAnswerMismatch = errors.New("service saw other contents") // see ContentError; also matches ErrContentChanged
	ErrDownloadLimit  = errors.New("download too large")         // over Config.MaxDownload

	ErrQuota = errors.New("quota exceeded") // ErrUploadQuota or ErrQueryQuota
)

// APIError is the error of every failed call.
//
// Its text has the operation, the status and the cause. What it takes from the answer is short and
// printable: the message, the media type, the title of a page or the name of the root element. It
// never contains a URL or the credential, unless an error of the caller's File, TokenSource or
// writer does: these are included unchanged.
type APIError struct {
	// Op is the operation.
	Op Op

	// Status is the HTTP status, or 0 without an answer or if the call was refused locally.
	Status int

	// Message is the service's error message, or empty. It has at most 200 bytes of printable
	// ASCII; surrounding quotes, URLs and the credential are removed. It is for people: programs
	// should use the sentinels.
	Message string

	// RetryAfter is the wait that the service asked for, from 0 (none) to MaxRetryAfter.
	RetryAfter time.Duration

	// MaybeDone is set if the whole request was sent, but it is unknown whether WildFire acted on
	// it: there was no answer, the answer broke off, or a proxy answered with a success or a
	// gateway error (502, 504). After a submission, ask for the verdict before sending the file
	// again.
	MaybeDone bool

	// Foreign describes an answer that is not in WildFire's form. It came from something between
	// the client and WildFire: a captive portal, a proxy, a web filter or a virus scanner. Foreign
	// is nil for WildFire's own answers, and if there was no answer. With a success status the
	// error matches ErrForeignAnswer, or ErrUnexpectedStatus if it is a download and the status is
	// not 200. With any other status it matches the sentinel of that status, but the sender may not
	// mean what WildFire means by it. Pages of WildFire's own front end look like those of a proxy,
	// so they are foreign, too.
	Foreign *ForeignAnswer

	// Err is the underlying error, for example of the connection, the file or the token source. It
	// is nil if the status and Message say it all.
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
		fmt.Fprintf(&text, "; answered by something between here and WildFire: %s", e.Foreign)
	}

	if e.Err != nil {
		text.WriteString(": ")
		text.WriteString(e.causeText())
	}

	return text.String()
}

// ambiguous reports whether the answer leaves open whether WildFire acted on the request: it broke
// off, or a proxy answered with a success or a gateway error.
func (e *APIError) ambiguous() bool {
	if errors.Is(e.kind, ErrTransport) || errors.Is(e.kind, ErrStalled) {
		return true
	}

	return e.Foreign != nil && (succeeded(e.Status) || e.Status == 502 || e.Status == 504)
}

// causeText returns the text of Err. If Err came from the network, the text is shortened, because
// it may contain data of the other side.
func (e *APIError) causeText() string {
	switch e.kind {
	case ErrTransport, ErrStalled, ErrAnswer: //nolint:errorlint // a sentinel, never wrapped
		return describe(e.Err)
	}
	return e.Err.Error()
}

// Unwrap returns the sentinels and the cause for errors.Is and errors.As.
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

// families maps a sentinel to the more general one that an error with it also matches.
var families = map[error]error{
	ErrUploadQuota:    ErrQuota,
	ErrQueryQuota:     ErrQuota,
	ErrNotReady:       ErrNotFound,
	ErrNoVerdict:      ErrAnswer,
	ErrForeignAnswer:  ErrAnswer,
	ErrStalled:        ErrTransport,
	ErrAnswerMismatch: ErrContentChanged,
}

// ForeignAnswer describes an answer that is not in WildFire's form. It came from a captive portal,
// a proxy, a web filter or a virus scanner. Only the title of a page is taken from the answer's
// body.
type ForeignAnswer struct {
	// ContentType is the answer's media type, from its header or, without one, detected from its
	// first bytes. It is empty if the answer had no body.
	ContentType string

	// Title is the title of an HTML page, or empty. Like APIError.Message, it is made safe: at most
	// 80 bytes of printable ASCII.
	Title string
}

// String describes the answer in a few words.
func (f *ForeignAnswer) String() string {
	switch {
	case f.ContentType == "":
		return "an answer without a body"
	case f.Title == "":
		return f.ContentType
	}
	return fmt.Sprintf("%s %q", f.ContentType, f.Title)
}

// ContentError says what was wrong with the contents of an upload. There are two cases.
//
// If the contents that were read do not have the size and hash in File, Answered is empty and the
// error matches ErrContentChanged. The end of the body was not sent, so nothing was submitted.
//
// If the service's answer has another digest than the bytes sent, the error also matches
// ErrAnswerMismatch. The upload was altered on the way, and it was counted. The Submission is
// returned with the error.
type ContentError struct {
	Expected string // SHA-256 in File, empty if the size differed; in the second case that of the bytes sent
	Sent     string // SHA-256 of the bytes sent; empty if the size differed
	Answered string // SHA-256 or MD5 in the service's answer
	Detail   string // what differed
}

// Error describes the difference.
func (e *ContentError) Error() string { return e.Detail }

// documentedStatuses has the sentinel for each error status that WildFire documents (WildFire API
// Reference, "Error Codes"). classify knows the operations for which the meaning differs.
var documentedStatuses = map[int]error{
	400: ErrInvalidRequest,
	401: ErrUnauthorized,
	403: ErrForbidden,
	404: ErrNoSuchOperation,
	405: ErrMethod,
	409: ErrConflict,
	410: ErrGone,
	413: ErrTooLarge,
	415: ErrMediaType,
	417: ErrSameVerdict,
	418: ErrUnsupportedType,
	419: ErrQueryQuota,
	420: ErrMissingArgument,
	421: ErrInvalidArgument,
	422: ErrUnprocessable,
	429: ErrTooManyRequests,
	456: ErrInvalidRequest,
	500: ErrServer,
	503: ErrUnavailable,
	513: ErrUploadFailed,
}

// classify returns the sentinel for a status that is not a success. The meaning of some statuses
// depends on the operation, and that of 403 also on the message, which must be in lower case.
func classify(op Op, status int, message string) error {
	switch {
	case status == 403 && op == OpVerdictsChanged && !strings.Contains(message, "permission"):
		return ErrInvalidDate
	case status == 403 && op.maybeNotFound():
		return ErrSampleForbidden
	case status == 404 && (op == OpReport || op == OpPCAP || op == OpWebArtifacts):
		return ErrNotReady
	case status == 404 && (op.maybeNotFound() || op == OpVerdict): // OpVerdict: an appliance does not support URLVerdict
		return ErrNotFound
	case status == 413 && op == OpVerdicts:
		return ErrTooManyEntries
	case status == 418 && op == OpSubmitLinks:
		return ErrMalformedList
	case status == 419 && op.costsUpload():
		return ErrUploadQuota
	case documentedStatuses[status] != nil:
		return documentedStatuses[status]
	case status == 408, status == 502, status == 504:
		return ErrGateway
	case status >= 300 && status < 400:
		return ErrRedirect
	case status >= 500 && status < 600:
		return ErrServer
	}

	return ErrUnexpectedStatus
}

// succeeded reports whether the status is a success. The answer's body then has the result.
func succeeded(status int) bool { return status >= 200 && status < 300 }

// cause returns why an attempt failed. If the watchdog ended the attempt, that is the watchdog's
// error, not the transport's error about the cancellation.
func cause(ctx context.Context, err error) error {
	if reason := context.Cause(ctx); reason != nil && errors.Is(reason, ErrStalled) {
		return reason
	}
	// A transport of the caller may wrap an http.Client, whose errors contain the URL.
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
