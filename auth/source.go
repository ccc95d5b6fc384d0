package auth

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"backburn/auth/internal/oauth"
)

// Source gives out the tokens of one Profile. It is safe for concurrent use. Close it.
//
// It is a cache of one token, filled by at most one renewal at a time, with a cool-down after
// failures. The grant gets tokens; shared, where there is a bucket, makes them one for the
// fleet.
type Source struct {
	profile    Profile
	timing     timing
	log        zerolog.Logger
	transport  http.RoundTripper
	metrics    *metrics
	credential credential
	grant      grant
	shared     *shared // nil: no bucket, or sharing is off
	hosts      hostSet
	pace       *rate.Limiter // of renewals of refused tokens that worked

	current atomic.Pointer[held]
	waiters atomic.Int64

	// life ends with Close. Renewals hang on it and not on any caller: who gives up waiting
	// must not take the token away from those who still wait.
	life context.Context //nolint:containedctx // as above
	end  context.CancelFunc
	wg   sync.WaitGroup

	mu          sync.Mutex // never held across a wait
	closed      bool
	changed     chan struct{} // closed and replaced when WaitReady may have something to return
	renewal     *renewal
	cool        cooldown
	watching    bool      // watchCredential runs
	lastReject  time.Time // when a token was last refused
	lastRefused string    // its fingerprint
	lastErr     *AuthError
	lastErrAt   time.Time
	skew        time.Duration
}

// Option sets what New does not need.
type Option func(*options)

type options struct {
	transport http.RoundTripper
	bucket    Bucket
	grants    Bucket
	log       zerolog.Logger
	registry  prometheus.Registerer
	userAgent string
	hosts     []string
	timing    timing
	wall      func() time.Time // stamps what other machines read

	persistHook func(stage string) // called at each stage of storing a grant; nil outside tests
}

// WithTransport sends token requests through t, in place of a transport of the package's
// own with TLS 1.2 or newer, the proxy of the environment, and no connections kept.
func WithTransport(t http.RoundTripper) Option { return func(o *options) { o.transport = t } }

// WithBucket shares access tokens through b with every Source that has the same profile
// and secret, in whatever process.
func WithBucket(b Bucket) Option { return func(o *options) { o.bucket = b } }

// WithGrantsBucket keeps the refresh token of KindCortex in b too, sealed.
func WithGrantsBucket(b Bucket) Option { return func(o *options) { o.grants = b } }

// WithLogger logs through l. The default logs nothing.
func WithLogger(l zerolog.Logger) Option { return func(o *options) { o.log = l } }

// WithMetrics registers metrics with r, labeled with the profile's name, until Close.
func WithMetrics(r prometheus.Registerer) Option { return func(o *options) { o.registry = r } }

// WithUserAgent sends ua with token requests.
func WithUserAgent(ua string) Option { return func(o *options) { o.userAgent = ua } }

// WithHosts adds hosts ("name" or "name:port") to those that may see the token; the host
// of Profile.URL and the kind's own are always among them.
func WithHosts(hosts ...string) Option {
	return func(o *options) { o.hosts = append(o.hosts, hosts...) }
}

func newOptions(opts []Option) options {
	o := options{log: zerolog.Nop(), timing: defaultTiming(), wall: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	if o.transport == nil {
		o.transport = oauth.NewTransport()
	}
	return o
}

// logger returns the logger of a profile.
func (o options) logger(p Profile) zerolog.Logger {
	return o.log.With().Str("component", "auth").Str("profile", p.Name).Logger()
}

// New makes a Source. It reads the secret files, so that what is wrong with them shows at
// once, and asks no server: the first Token does.
func New(p Profile, opts ...Option) (*Source, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}

	o := newOptions(opts)
	s := &Source{
		profile:   p,
		timing:    o.timing,
		log:       o.logger(p),
		transport: o.transport,
		hosts:     newHostSet(p, o.hosts),
		pace:      rate.NewLimiter(rate.Every(o.timing.renewGap), renewBurst),
		changed:   make(chan struct{}),
	}
	s.life, s.end = context.WithCancel(context.Background())
	if err := s.assemble(o); err != nil {
		s.end()
		return nil, err
	}

	for _, w := range p.warnings() {
		s.log.Warn().Msg(w)
	}
	if s.shared != nil {
		s.wg.Go(func() { s.shared.run(s.life) })
	}
	return s, nil
}

// assemble makes the parts that can fail.
func (s *Source) assemble(o options) (err error) {
	if s.credential, err = openCredential(s.profile); err != nil {
		return err
	}
	if s.shared, err = newShared(s, o); err != nil {
		return err
	}
	if s.metrics, err = newMetrics(s, o.registry); err != nil {
		return err
	}
	if s.grant, err = s.profile.preset().grant(s.profile.parts(s.credential, s.metrics, o)); err != nil {
		s.metrics.unregister()
	}
	return err
}

// Close ends what runs in the background, waits for it, and forgets the token. Callers
// that wait for one get ErrClosed.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.announce()
	s.mu.Unlock()
	s.end()
	s.wg.Wait()
	s.grant.Close()
	s.current.Store(nil)
	s.metrics.unregister()
	return nil
}

// Kind returns the profile's kind.
func (s *Source) Kind() Kind { return s.profile.Kind }

// Name returns the profile's name.
func (s *Source) Name() string { return s.profile.Name }

// asAuthError returns err as this package's error type.
func (s *Source) asAuthError(op string, err error) *AuthError {
	var e *AuthError
	if errors.As(err, &e) {
		return e
	}
	e = &AuthError{Profile: s.profile.Name, Op: op, Class: ErrTemporary}
	e.Describe(err, oauth.NewScrubber(s.profile.ClientID, s.knownSecrets()...))
	return e
}

// knownSecrets lists what must never show.
func (s *Source) knownSecrets() []string {
	var out []string
	for _, f := range s.credential.files() {
		out = append(out, f.Get().Reveal())
	}
	if h := s.current.Load(); h != nil {
		out = append(out, h.value)
	}
	return out
}
