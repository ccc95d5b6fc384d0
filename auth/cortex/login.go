package cortex

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"backburn/auth/internal/oauth"
)

const (
	stateTTL   = 10 * time.Minute
	maxPending = 16 // limit of pending authorizations; a further one replaces the oldest
)

// Reasons to refuse a callback. They do not end a Login, because the right callback may still
// arrive.
var (
	ErrState    = errors.New("auth: the state is unknown, used, expired or another browser's")
	ErrCallback = errors.New("auth: not a callback of this login")
)

// Authorized is the result of a Login, without the token.
type Authorized struct {
	InstanceID string
	Region     string
	Generation uint64
	Obtained   time.Time
}

// Login is the authorization code grant of RFC 6749 section 4.1: it sends the administrator's
// browser to the authorization server, receives the callback, and stores the refresh token.
//
// If the browser can reach this machine, use Handler. Otherwise Begin returns the URL to open in
// any browser, and Complete takes the URL at which that browser ends. A Login is safe for
// concurrent use.
type Login struct {
	config   Config
	redirect *url.URL
	store    *store

	mu      sync.Mutex
	pending []pending

	done    chan struct{} // closed when there is an outcome
	once    sync.Once
	outcome Authorized
	err     error
}

// pending is a started authorization. It is bound to its browser, the instance and the redirect
// URL, and can be used once within stateTTL.
type pending struct {
	state    string
	session  string // cookie of the browser; "" if Begin started the authorization
	instance string
	redirect string
	verifier string // PKCE code verifier (RFC 7636); "" without PKCE
	expires  time.Time
}

// Merge adds the hub's parameters to the configuration. A value that both contain must be equal.
func (c *Config) Merge(hub HubParams) error {
	for _, f := range []struct {
		key     string
		own     *string
		fromHub string
	}{
		{"instance_id", &c.InstanceID, hub.InstanceID},
		{"region", &c.Region, hub.Region},
	} {
		if *f.own != "" && f.fromHub != "" && *f.own != f.fromHub {
			return fmt.Errorf("auth.%s.%s: is %q, but the hub's value is %q", c.Name, f.key, *f.own, f.fromHub)
		}

		*f.own = cmp.Or(*f.own, f.fromHub)
	}

	if _, known := Regions[hub.Region]; hub.Region != "" && !known {
		return fmt.Errorf("auth.%s.region: the hub's value %q is not one of %s", c.Name, hub.Region, regionList())
	}

	c.Seal.InstanceID = c.InstanceID

	return nil
}

// Check returns an error for each key that a login needs and that is missing.
func (c Config) Check() error {
	var problems []error
	for _, required := range [][2]string{
		{"redirect_url", c.Client.RedirectURL},
		{"instance_id", c.InstanceID},
		{"region", c.Region},
	} {
		if required[1] == "" {
			problems = append(problems, fmt.Errorf("auth.%s.%s: is required to log in", c.Name, required[0]))
		}
	}

	return errors.Join(problems...)
}

// NewLogin prepares a login. It makes no request.
func NewLogin(c Config) (*Login, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}

	redirect, err := url.Parse(c.Client.RedirectURL)
	if err != nil {
		return nil, fmt.Errorf("auth.%s.redirect_url: is not a URL", c.Name)
	}

	s, err := newStore(c)
	if err != nil {
		return nil, err
	}

	return &Login{config: c, redirect: redirect, store: s, done: make(chan struct{})}, nil
}

// StartPath is the path under which Handler begins a login.
const StartPath = "/login"

// Begin starts an authorization and returns the URL to open in any browser. Pass the URL at which
// the browser ends to Complete.
func (l *Login) Begin() string { return l.begin("") }

// begin starts an authorization for the browser with this session cookie, or for Begin if session
// is "". It returns the URL to open.
func (l *Login) begin(session string) string {
	c := l.config
	p := pending{
		state:    rand.Text(),
		session:  session,
		instance: c.InstanceID,
		redirect: c.Client.RedirectURL,
		expires:  time.Now().Add(stateTTL),
	}
	params := []oauth2.AuthCodeOption{
		oauth2.SetAuthURLParam("instance_id", c.InstanceID),
		oauth2.SetAuthURLParam("region", c.Region),
	}
	if c.PKCE {
		p.verifier = oauth2.GenerateVerifier()
		params = append(params, oauth2.S256ChallengeOption(p.verifier))
	}

	l.add(p)

	conf := oauth2.Config{
		ClientID:    c.Client.ID,
		RedirectURL: c.Client.RedirectURL,
		Scopes:      []string{c.Client.Scope},
		Endpoint:    oauth2.Endpoint{AuthURL: c.AuthorizeURL},
	}

	return conf.AuthCodeURL(p.state, params...)
}

// add adds a pending authorization.
func (l *Login) add(p pending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) == maxPending {
		l.pending = l.pending[1:]
	}
	l.pending = append(l.pending, p)
}

// takePending removes and returns the pending authorization with a state. A state can be used only
// once, even if the callback turns out to be invalid.
func (l *Login) takePending(state string) (pending, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, p := range l.pending {
		if constantTimeEqual(p.state, state) {
			l.pending = append(l.pending[:i:i], l.pending[i+1:]...)
			return p, true
		}
	}

	return pending{}, false
}

// constantTimeEqual compares a and b in constant time.
func constantTimeEqual(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// Complete takes the URL that the browser was sent back to after Begin, exchanges its code
// and stores the refresh token.
func (l *Login) Complete(ctx context.Context, callback string) (Authorized, error) {
	u, err := url.Parse(callback)
	if err != nil || u.Scheme != l.redirect.Scheme || oauth.HostPort(u) != oauth.HostPort(l.redirect) || u.Path != l.redirect.Path {
		return Authorized{}, fmt.Errorf("%w: it does not begin with %s", ErrCallback, l.config.Client.RedirectURL)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Authorized{}, fmt.Errorf("%w: its query cannot be read", ErrCallback)
	}

	return l.complete(ctx, query, "")
}

// complete checks a callback's query and finishes the login. ErrState and ErrCallback leave the
// login open; other errors end it.
func (l *Login) complete(ctx context.Context, query url.Values, session string) (Authorized, error) {
	for name, values := range query {
		if len(values) > 1 {
			return Authorized{}, fmt.Errorf("%w: %q occurs more than once", ErrCallback, knownParam(name))
		}
	}

	p, ok := l.takePending(query.Get("state"))
	instance := query.Get("instance_id")
	switch {
	case !ok, time.Now().After(p.expires), !constantTimeEqual(p.session, session):
		return Authorized{}, ErrState
	case p.redirect != l.config.Client.RedirectURL, instance != "" && instance != p.instance:
		return Authorized{}, fmt.Errorf("%w: it is for another instance", ErrCallback)
	}

	a, err := l.exchange(ctx, query, p)
	l.once.Do(func() { // the first outcome counts
		l.outcome, l.err = a, err
		close(l.done)
	})

	return a, err
}

// knownParam returns the name of a parameter if it is safe to repeat in an error.
func knownParam(name string) string {
	switch name {
	case "state", "code", "error", "error_description", "instance_id":
		return name
	default:
		return "a parameter"
	}
}

// exchange exchanges the code of a verified callback for a refresh token, and stores it.
func (l *Login) exchange(ctx context.Context, query url.Values, p pending) (Authorized, error) {
	clientSecret := l.config.Secret.Get()
	code := query.Get("code")
	scrub := oauth.NewScrubber(l.config.Client.ID, clientSecret.Reveal(), p.state, p.verifier, code)

	if failure := query.Get("error"); failure != "" {
		e := l.permanentError("authorization", oauth.ErrReauthorize)
		e.Code = oauth.KnownCode(failure)
		e.Desc = scrub.Clean(query.Get("error_description"))
		e.Hint = "the authorization server did not grant access"

		return Authorized{}, e
	}

	if code == "" {
		e := l.permanentError("authorization", oauth.ErrReauthorize)
		e.Desc = "the callback has no code"

		return Authorized{}, e
	}

	m, err := l.config.Client.Exchange(ctx, clientSecret, code, p.verifier)
	if err != nil {
		return Authorized{}, err
	}

	if m.Refresh == "" {
		e := l.permanentError("code exchange", oauth.ErrCredentialRejected)
		e.Status = http.StatusOK
		e.Desc = "the answer has no refresh token"
		e.Hint = "check that the app may have offline access"

		return Authorized{}, e
	}

	return l.persist(ctx, m.Refresh)
}

// permanentError returns an error of the login that another attempt with the same callback cannot
// avoid.
func (l *Login) permanentError(op string, class error) *oauth.Error {
	return &oauth.Error{Profile: l.config.Name, Op: op, Permanent: true, Class: class}
}

// persist stores a new grant, replacing any old one.
func (l *Login) persist(ctx context.Context, token string) (Authorized, error) {
	unlock, err := l.store.lock(ctx)
	if err != nil {
		return Authorized{}, l.config.storeError(err)
	}
	defer unlock()

	r := record{
		Generation: l.store.newestStored(ctx) + 1,
		Token:      token,
		Instance:   l.config.InstanceID,
		Region:     l.config.Region,
		Obtained:   time.Now().UnixMilli(),
	}
	if err := l.store.save(ctx, r); err != nil {
		return Authorized{}, l.config.storeError(err)
	}

	l.config.Log.Info().Str("instance", r.Instance).Str("region", r.Region).Uint64("generation", r.Generation).Msg("authorized")

	return Authorized{
		InstanceID: r.Instance,
		Region:     r.Region,
		Generation: r.Generation,
		Obtained:   time.UnixMilli(r.Obtained).UTC(),
	}, nil
}

// Wait waits until Handler or Complete has finished the login, and returns the outcome.
func (l *Login) Wait(ctx context.Context) (Authorized, error) {
	select {
	case <-l.done:
		return l.outcome, l.err
	case <-ctx.Done():
		return Authorized{}, ctx.Err()
	}
}
