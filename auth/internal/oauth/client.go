package oauth

import (
	"net/http"
	"time"
)

// Client is an OAuth client at one token endpoint. It keeps nothing but what it was given;
// each method is one request, or fails before it.
type Client struct {
	Profile  string // named by errors
	ID       string
	Auth     string // AuthBasicRaw, AuthBasicForm or AuthBody
	Body     string // BodyForm (default) or BodyJSON
	TokenURL string

	Scope       string // "": none is asked for
	Audience    string // "": none is asked for
	RedirectURL string // of the authorization code grant

	Lifetime   time.Duration // of a token whose answer has no expires_in; 0: it does not expire
	BadRequest bool          // every answer of 400 means bad credentials
	Hints      Hints

	Transport http.RoundTripper
	UserAgent string
}

// Hints say what an operator can do about an error.
type Hints struct {
	Client string // the client is refused
	Scope  string // the scope is refused
	Grant  string // the refresh token or code is refused
}

// Minted is a token as it came from a token endpoint.
type Minted struct {
	Value   string
	Refresh string    // refresh token in the same answer; "" where none came
	Sent    time.Time // when the request left; the life is counted from here
	Life    Lifetime
	Skew    time.Duration // this machine's clock minus the issuer's
	Skewed  bool          // Skew is known
}
