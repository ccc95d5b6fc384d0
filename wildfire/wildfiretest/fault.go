package wildfiretest

import (
	"time"

	"backburn/wildfire"
)

// OpToken is the token service's operation, for rules and counts.
const OpToken wildfire.Op = "token"

// Body is the form of an error's body.
type Body int

// The forms of error bodies.
const (
	XMLBody   Body = iota // the service's <error> document
	EmptyBody             // no body
	HTMLBody              // a page of a proxy
	JSONBody              // something like {"error": "…"}
)

// Fault is a fault to inject into a call. The zero value is no fault.
type Fault struct {
	// Status answers with an error. 0 leaves the answer to the service.
	Status int

	// Body is the form of the error's body and Message its text; "" is the service's own text.
	Body    Body
	Message string

	// RetryAfter is the value of the header Retry-After of an answer with an error: "120", a date,
	// or an invalid value. "" sends none.
	RetryAfter string

	// Early answers with Status without reading the request's body, and closes the connection.
	// Latency does not delay this answer. Over HTTP/2, Early has no effect.
	Early bool

	// Reset reads ResetAfter bytes of the request's body and resets the connection.
	Reset      bool
	ResetAfter int64

	// LoseAnswer carries out the request, and closes the connection instead of answering.
	LoseAnswer bool

	// Latency delays the answer, in addition to WithLatency.
	Latency time.Duration

	// Style is added to the server's style for this call.
	Style Style
}

func (f Fault) none() bool { return f == Fault{} }

// Rule selects the calls that get a fault. A call must match every field that is set.
type Rule struct {
	// Op is the operation, or OpToken for the token service. "" matches all except the token
	// service.
	Op wildfire.Op

	// SHA256 and Name (a part of the file name) select submissions of files (submit/file,
	// submit/url) by sample. They are compared after the contents have been read.
	SHA256, Name string

	// Token selects calls by bearer token or, together with SHA256 or Name, also by API key.
	Token string

	// From is the number of the first matching call that gets the fault, counted from 1; 0 means 1.
	// Times is how many calls get it from then on; 0 means all.
	From, Times int

	// Rate is the share of these calls that get the fault, in (0,1]; 0 means all. The seed and the
	// call's number decide which.
	Rate float64

	Fault Fault
}

type rule struct {
	Rule
	id      int
	matched int
}
