package auth

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

	"github.com/rs/zerolog"
	"golang.org/x/oauth2"
)

const (
	stateTTL   = 10 * time.Minute
	maxPending = 16 // authorizations begun and not ended; the oldest goes first
)

// What a callback can be refused for. None of these ends a Login: the right callback may
// still come.
var (
	ErrState    = errors.New("auth: the state is unknown, used, expired or another browser's")
	ErrCallback = errors.New("auth: not a callback of this login")
)

// Grant is what a Login obtained, without the token.
type Grant struct {
	InstanceID string
	Region     string
	Generation uint64
	Obtained   time.Time
}

// Login is the authorization code grant of RFC 6749 section 4.1 for a KindCortex profile:
// it sends the administrator's browser to the authorization server, takes the callback, and
// stores the refresh token.
//
// Handler serves both ends of it for a browser: StartPath, which begins, and the path of
// the profile's redirect_url. Where there is no such browser, Begin returns the URL to open
// and Complete takes the URL that the browser ended on. It is safe for concurrent use.
type Login struct {
	profile  Profile
	redirect *url.URL
	grants   grants
	store    *grantStore
	secret   *secretFile
	log      zerolog.Logger

	mu      sync.Mutex
	pending []pending

	done    chan struct{} // closed when there is an outcome
	once    sync.Once
	outcome Grant
	err     error
}

// pending is an authorization that was begun. It is bound to the browser that began it, to
// the instance and the redirect URL, and is good once, for stateTTL.
type pending struct {
	state    string
	session  string // cookie of the browser; "": Begin
	instance string
	redirect string
	verifier string // PKCE
	expires  time.Time
}

// NewLogin prepares a login. hub is what the hub appended (see ParseHubParams) and wins over
// an empty instance_id and region of the profile; where both say something they must agree.
func NewLogin(p Profile, hub HubParams, opts ...Option) (*Login, error) {
	if p.Kind != KindCortex {
		return nil, fmt.Errorf("auth.%s: a login is for kind %q", p.Name, KindCortex)
	}
	for _, f := range []struct {
		key      string
		own      *string
		fromThem string
	}{{"instance_id", &p.InstanceID, hub.InstanceID}, {"region", &p.Region, hub.Region}} {
		if *f.own != "" && f.fromThem != "" && *f.own != f.fromThem {
			return nil, fmt.Errorf("auth.%s.%s: is %q, but the hub says %q", p.Name, f.key, *f.own, f.fromThem)
		}
		*f.own = cmp.Or(*f.own, f.fromThem)
	}
	err := p.Validate()
	for _, need := range [][2]string{{"redirect_url", p.RedirectURL}, {"instance_id", p.InstanceID}, {"region", p.Region}} {
		if need[1] == "" {
			err = errors.Join(err, fmt.Errorf("auth.%s.%s: is required to log in", p.Name, need[0]))
		}
	}
	if err != nil {
		return nil, err
	}
	l := &Login{profile: p, done: make(chan struct{})}
	if l.redirect, err = url.Parse(p.RedirectURL); err != nil {
		return nil, fmt.Errorf("auth.%s.redirect_url: is not a URL", p.Name)
	}
	l.grants, l.secret, l.store, l.log, err = loginParts(p, opts)
	return l, err
}

// loginParts makes what Login and Logout need of a Source's parts.
func loginParts(p Profile, opts []Option) (g grants, secret *secretFile, store *grantStore, log zerolog.Logger, err error) {
	o := options{log: zerolog.Nop(), timing: defaultTiming(), wall: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	if o.transport == nil {
		o.transport = newTokenTransport()
	}
	log = o.log.With().Str("component", "auth").Str("profile", p.Name).Logger()
	g = grants{profile: p, transport: o.transport, userAgent: o.userAgent}
	if secret, _, err = openSecrets(p); err != nil {
		return g, nil, nil, log, err
	}
	cacheKey, err := openSecret(Secret{}, p.CacheKeyFile)
	if err != nil {
		return g, nil, nil, log, fmt.Errorf("auth.%s.cache_key_file: %w", p.Name, err)
	}
	if p.GrantFile == "" && o.grants == nil {
		return g, nil, nil, log, fmt.Errorf("auth.%s.grant_file: is required, unless there is a bucket for grants", p.Name)
	}
	var key Secret
	if cacheKey != nil {
		key = cacheKey.get()
	}
	store = newGrantStore(p, key, o, log)
	store.learn(secret.get())
	return g, secret, store, log, nil
}

// StartPath is the path under which Handler begins a login.
const StartPath = "/login"

// Begin starts an authorization without a browser of ours and returns the URL to open. The
// URL on which the browser ends goes to Complete.
func (l *Login) Begin() string { return l.begin("") }

func (l *Login) begin(session string) string {
	p := pending{
		state: rand.Text(), session: session, instance: l.profile.InstanceID, redirect: l.profile.RedirectURL,
		expires: time.Now().Add(stateTTL),
	}
	params := []oauth2.AuthCodeOption{
		oauth2.SetAuthURLParam("instance_id", l.profile.InstanceID), oauth2.SetAuthURLParam("region", l.profile.Region),
	}
	if l.profile.PKCE {
		p.verifier = oauth2.GenerateVerifier()
		params = append(params, oauth2.S256ChallengeOption(p.verifier))
	}
	l.mu.Lock()
	if len(l.pending) == maxPending {
		l.pending = l.pending[1:]
	}
	l.pending = append(l.pending, p)
	l.mu.Unlock()
	conf := oauth2.Config{
		ClientID: l.profile.ClientID, RedirectURL: l.profile.RedirectURL, Scopes: []string{l.profile.Scope},
		Endpoint: oauth2.Endpoint{AuthURL: l.profile.authorizeURL()},
	}
	return conf.AuthCodeURL(p.state, params...)
}

// take removes the pending authorization with a state, whether or not the rest of the
// callback holds: a state is good once.
func (l *Login) take(state string) (pending, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, p := range l.pending {
		if subtle.ConstantTimeCompare([]byte(p.state), []byte(state)) == 1 {
			l.pending = append(l.pending[:i:i], l.pending[i+1:]...)
			return p, true
		}
	}
	return pending{}, false
}

// Complete takes the URL that the browser was sent back to after Begin, exchanges its code
// and stores the refresh token.
func (l *Login) Complete(ctx context.Context, callback string) (Grant, error) {
	u, err := url.Parse(callback)
	if err != nil || u.Scheme != l.redirect.Scheme || hostPort(u) != hostPort(l.redirect) || u.Path != l.redirect.Path {
		return Grant{}, fmt.Errorf("%w: it does not begin with %s", ErrCallback, l.profile.RedirectURL)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Grant{}, fmt.Errorf("%w: its query cannot be read", ErrCallback)
	}
	return l.complete(ctx, query, "")
}

// complete checks a callback's query and finishes the login. Errors before the state is
// known to be good leave the login open; later ones end it.
func (l *Login) complete(ctx context.Context, query url.Values, session string) (Grant, error) {
	for name, values := range query {
		if len(values) > 1 {
			return Grant{}, fmt.Errorf("%w: %q is there more than once", ErrCallback, knownParam(name))
		}
	}
	p, ok := l.take(query.Get("state"))
	switch {
	case !ok, time.Now().After(p.expires), subtle.ConstantTimeCompare([]byte(p.session), []byte(session)) != 1:
		return Grant{}, ErrState
	case p.redirect != l.profile.RedirectURL, query.Get("instance_id") != "" && query.Get("instance_id") != p.instance:
		return Grant{}, fmt.Errorf("%w: it is for another instance", ErrCallback)
	}
	g, err := l.finish(ctx, query, p)
	l.end(g, err)
	return g, err
}

func knownParam(name string) string {
	switch name {
	case "state", "code", "error", "error_description", "instance_id":
		return name
	default:
		return "a parameter"
	}
}

// finish acts on a callback that is ours.
func (l *Login) finish(ctx context.Context, query url.Values, p pending) (Grant, error) {
	secret := l.secret.get()
	scrub := newScrubber(l.profile.ClientID, secret.Reveal(), p.state, p.verifier, query.Get("code"))
	if code := query.Get("error"); code != "" {
		e := &AuthError{
			Profile: l.profile.Name, Op: "authorization", Code: knownCode(code), Desc: scrub.clean(query.Get("error_description")),
			Permanent: true, class: ErrReauthorize, Hint: "the authorization server did not grant access",
		}
		return Grant{}, e
	}
	code := query.Get("code")
	if code == "" {
		return Grant{}, &AuthError{
			Profile: l.profile.Name, Op: "authorization", Permanent: true, class: ErrReauthorize, Desc: "the callback has no code",
		}
	}
	m, err := l.grants.exchange(ctx, secret, code, p.verifier)
	if err != nil {
		return Grant{}, err
	}
	if m.refresh == "" {
		return Grant{}, &AuthError{
			Profile: l.profile.Name, Op: "code exchange", Status: http.StatusOK, Permanent: true, class: ErrCredentialRejected,
			Desc: "the answer has no refresh token", Hint: "check that the app may have offline access",
		}
	}
	return l.persist(ctx, m)
}

// persist stores a new grant over whatever there was.
func (l *Login) persist(ctx context.Context, m minted) (Grant, error) {
	unlock, err := l.store.lock(ctx)
	if err != nil {
		return Grant{}, fmt.Errorf("auth.%s: storing the grant: %w", l.profile.Name, err)
	}
	defer unlock()
	r := grantRecord{
		Generation: l.store.newest(ctx) + 1, Token: m.refresh, Instance: l.profile.InstanceID, Region: l.profile.Region,
		Obtained: time.Now().UnixMilli(),
	}
	if err := l.store.save(ctx, r); err != nil {
		return Grant{}, fmt.Errorf("auth.%s: storing the grant: %w", l.profile.Name, err)
	}
	l.log.Info().Str("instance", r.Instance).Str("region", r.Region).Uint64("generation", r.Generation).Msg("authorized")
	return Grant{InstanceID: r.Instance, Region: r.Region, Generation: r.Generation, Obtained: time.UnixMilli(r.Obtained).UTC()}, nil
}

// end records the outcome; the first one counts.
func (l *Login) end(g Grant, err error) {
	l.once.Do(func() {
		l.outcome, l.err = g, err
		close(l.done)
	})
}

// Wait returns the outcome of the login that Handler or Complete finished.
func (l *Login) Wait(ctx context.Context) (Grant, error) {
	select {
	case <-l.done:
		return l.outcome, l.err
	case <-ctx.Done():
		return Grant{}, ctx.Err()
	}
}
