// Package oauth makes single token requests (RFC 6749) in the forms that several vendors require,
// and turns every failure into an *Error without secrets.
//
// It stores no tokens and retries nothing.
package oauth

import (
	"net/http"
	"time"
)

// Client is an OAuth client at one token endpoint. It keeps no state; each method makes one
// request, or fails before it.
type Client struct {
	Profile  string // name in errors
	ID       string
	Auth     string // AuthBasicRaw, AuthBasicForm or AuthBody
	Body     string // BodyForm (default) or BodyJSON
	TokenURL string

	Scope       string // "": none is requested
	Audience    string // "": none is requested
	RedirectURL string // of the authorization code grant

	Lifetime   time.Duration // life of a token whose answer has no expires_in; 0: it does not expire
	BadRequest bool          // every answer of 400 means bad credentials
	Hints      Hints

	Transport http.RoundTripper
	UserAgent string
}

// The ways in which a client authenticates itself at a token endpoint. RFC 6749 section 2.3.1
// form-encodes the id and secret of Basic authentication; many servers do not decode them, so both
// encodings are available and none is guessed.
const (
	AuthBasicRaw  = "basic-raw"  // base64(id:secret)
	AuthBasicForm = "basic-form" // base64(form-encoded id:form-encoded secret), RFC 6749
	AuthBody      = "body"       // client_id and client_secret in the body
)

// How the body of a request is encoded.
const (
	BodyForm = "form" // application/x-www-form-urlencoded, RFC 6749
	BodyJSON = "json" // application/json, what the vendor's own Cortex SDKs send
)

// Hints are instructions for operators, one for each cause.
type Hints struct {
	Client string // if the client is refused
	Scope  string // if the scope is refused
	Grant  string // if the refresh token or code is refused
}

// Minted is a token from a token endpoint.
type Minted struct {
	Value   string
	Refresh string    // refresh token in the same answer, or ""
	Sent    time.Time // when the request was sent; the life is counted from then
	Life    Lifetime
	Skew    time.Duration // this machine's clock minus the issuer's, if Skewed
	Skewed  bool          // whether Skew is known
}
