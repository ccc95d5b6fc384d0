package auth

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/auth/internal/oauth"
)

// Option is an optional argument of New, NewLogin, Logout and LookupAudience.
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
	wall      func() time.Time // clock for times that other machines read

	persistHook func(stage string) // called at each stage of storing a grant; nil outside tests
}

// WithTransport sends token requests through t. The default transport uses TLS 1.2 or newer and the
// proxy from the environment, and does not reuse connections.
func WithTransport(t http.RoundTripper) Option { return func(o *options) { o.transport = t } }

// WithBucket shares access tokens through b with every Source that has the same profile and secret,
// in any process.
func WithBucket(b Bucket) Option { return func(o *options) { o.bucket = b } }

// WithGrantsBucket keeps the refresh token of KindCortex in b too, sealed.
func WithGrantsBucket(b Bucket) Option { return func(o *options) { o.grants = b } }

// WithLogger logs through l. The default logs nothing.
func WithLogger(l zerolog.Logger) Option { return func(o *options) { o.log = l } }

// WithMetrics registers metrics with r, labeled with the profile's name, until Close.
func WithMetrics(r prometheus.Registerer) Option { return func(o *options) { o.registry = r } }

// WithUserAgent sends ua with token requests.
func WithUserAgent(ua string) Option { return func(o *options) { o.userAgent = ua } }

// WithHosts adds hosts ("name" or "name:port") to those that may receive the token. By default,
// these are the host of Profile.URL or, if it is empty, that of the region, or those of the kind.
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
