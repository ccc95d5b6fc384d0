package wildfiretest

import (
	"time"
)

// WithNow replaces the clock; see Clock for one that a test can set.
func WithNow(now func() time.Time) Option { return func(s *Server) { s.now = now } }

// WithSeed makes everything random repeatable: rates of faults, jitter of delays, shuffled answers.
// The default is 1.
func WithSeed(seed uint64) Option { return func(s *Server) { s.seed = seed } }

// WithDelay sets the time from a submission to its verdict; 0 gives it at once. The default is 30
// s, and a jitter of up to 270 s on top, which this option switches off.
func WithDelay(d time.Duration) Option { return func(s *Server) { s.delay, s.jitter = max(d, 0), 0 } }

// WithJitter adds to the delay of every sample a part of d that depends on the seed and the sample
// alone. Give it after WithDelay.
func WithJitter(d time.Duration) Option { return func(s *Server) { s.jitter = max(d, 0) } }

// WithUnknownFor sets how long a fresh submission is still answered with -102, at most until its
// verdict. The default is 1 s.
func WithUnknownFor(d time.Duration) Option { return func(s *Server) { s.unknownFor = max(d, 0) } }

// WithReportLag sets how long a report comes after the verdict. The default is 0.
func WithReportLag(d time.Duration) Option { return func(s *Server) { s.reportLag = max(d, 0) } }

// WithLatency delays every answer.
func WithLatency(d time.Duration) Option { return func(s *Server) { s.latency = max(d, 0) } }

// WithQuota sets how many successful uploads and queries every credential has each day; 0, the
// default, is no limit.
func WithQuota(uploads, queries int) Option {
	return func(s *Server) { s.uploadQuota, s.queryQuota = uploads, queries }
}

// WithResetLag keeps a spent quota spent for so long after midnight UTC. The default is 0.
func WithResetLag(d time.Duration) Option { return func(s *Server) { s.resetLag = max(d, 0) } }

// WithMaxFileSize sets the size, in bytes, above which a file is answered with 413. The default is
// wildfire.DefaultMaxFileSize.
func WithMaxFileSize(size int64) Option { return func(s *Server) { s.maxFileSize = size } }

// WithCapacity bounds what is remembered: samples (default 200,000) and calls (default 10,000). The
// oldest go first.
func WithCapacity(samples, calls int) Option {
	return func(s *Server) { s.maxSamples, s.maxCalls = max(samples, 1), max(calls, 1) }
}

// WithStyle sets the spelling of all answers; see Style.
func WithStyle(style Style) Option { return func(s *Server) { s.style = style } }

// WithPlan decides by a function what becomes of a sample; it is asked first, and where it returns
// false the markers decide. It must be safe for concurrent use.
func WithPlan(plan func(Sample) (Plan, bool)) Option { return func(s *Server) { s.planFor = plan } }

// WithToken accepts a Bearer token. Once any credential is given, by this, WithAPIKey, WithClient
// or WithAuth, all others are refused with 401; before, any that is not empty is accepted.
func WithToken(token string) Option {
	return func(s *Server) { s.auth.strict = true; s.auth.static[token] = struct{}{} }
}

// WithAPIKey accepts a legacy key in the form field "apikey".
func WithAPIKey(key string) Option {
	return func(s *Server) { s.auth.strict = true; s.auth.keys[key] = struct{}{} }
}

// WithAuth refuses every token that the token service did not issue.
func WithAuth() Option { return func(s *Server) { s.auth.strict = true } }

// WithClient registers a service account at the token service. A tsg of "" accepts any scope;
// otherwise the scope must be "tsg_id:" and tsg.
func WithClient(id, secret, tsg string) Option {
	return func(s *Server) {
		s.auth.strict = true
		s.auth.clients[id] = account{secret: secret, tsg: tsg}
	}
}

// WithTokenLifetime sets expires_in. The default is 900 s.
func WithTokenLifetime(d time.Duration) Option { return func(s *Server) { s.auth.lifetime = d } }

// WithPhrases switches the vendor's reason phrases on or off; on is the default. They need a
// listener made by Server.Listener, as Start does.
func WithPhrases(on bool) Option { return func(s *Server) { s.phrases = on } }

// WithHTTPSOnly answers unencrypted calls with a redirect, as the service does, except for test
// files.
func WithHTTPSOnly() Option { return func(s *Server) { s.httpsOnly = true } }
