package wildfiretest

import (
	"time"

	"backburn/wildfire"
)

// OpToken is the token service's operation, for rules and counts.
const OpToken wildfire.Op = "token"

// Body is the form of an error's body.
type Body int

// The forms that error bodies come in.
const (
	XMLBody   Body = iota // the service's <error> document
	EmptyBody             // none at all
	HTMLBody              // a page of the proxy in front
	JSONBody              // something like {"error": "…"}
)

// Fault is something that goes wrong with a call. The zero value is no fault.
type Fault struct {
	// Status answers with an error. 0 leaves the answer to the service.
	Status int

	// Body is the form of the error's body and Message its text; "" takes the service's words.
	Body    Body
	Message string

	// RetryAfter is the header of that name, as it is sent: "120", a date, or nonsense. "" sends
	// none.
	RetryAfter string

	// Early answers before the request's body was read, and closes the connection without reading
	// it.
	Early bool

	// Reset reads ResetAfter bytes of the request's body and breaks the connection off.
	Reset      bool
	ResetAfter int64

	// LoseAnswer does what was asked and breaks the connection off instead of answering.
	LoseAnswer bool

	// Latency delays the answer.
	Latency time.Duration

	// Style is added to the server's, for this call.
	Style Style
}

func (f Fault) none() bool { return f == Fault{} }

// Rule says which calls a fault happens to. A call must match everything that is set.
type Rule struct {
	// Op is the operation, OpToken for the token service; "" is any, the token service excepted.
	Op wildfire.Op

	// SHA256 and Name (a part of the file name) pick submissions by sample; they are decided once
	// the contents have been read.
	SHA256, Name string

	// Token picks calls by credential.
	Token string

	// From is the number of the first matching call that it happens to, counted from 1; 0 is 1.
	// Times is how many of them it happens to from then on; 0 is all.
	From, Times int

	// Rate is the share of those calls, in (0,1]; 0 is all. It is decided by the seed and the
	// call's number.
	Rate float64

	Fault Fault
}

type rule struct {
	Rule
	id      int
	matched int
}
