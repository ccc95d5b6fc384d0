package wildfiretest

import (
	"time"
)

// WithNow replaces the clock; see Clock for one that a test can set.
func WithNow(now func() time.Time) Option { return func(s *Server) { s.now = now } }

// WithSeed sets the seed of all random choices: faults by rate, jitter of delays, shuffled answers.
// The default is 1.
func WithSeed(seed uint64) Option { return func(s *Server) { s.seed = seed } }

// WithDelay sets the time from a submission to its verdict; 0 means at once. The default is 30 s
// plus a jitter of up to 270 s. This option switches off the jitter.
func WithDelay(d time.Duration) Option { return func(s *Server) { s.delay, s.jitter = max(d, 0), 0 } }

// WithJitter adds a part of d to the delay of every sample. The part depends only on the seed and
// the sample. Use it after WithDelay.
func WithJitter(d time.Duration) Option { return func(s *Server) { s.jitter = max(d, 0) } }

// WithUnknownFor sets how long a new sample has the verdict -102 (unknown) after its submission, at
// most until its final verdict. The default is 1 s.
func WithUnknownFor(d time.Duration) Option { return func(s *Server) { s.unknownFor = max(d, 0) } }

// WithReportLag sets the time from the verdict to the report. The default is 0.
func WithReportLag(d time.Duration) Option { return func(s *Server) { s.reportLag = max(d, 0) } }

// WithLatency delays every answer.
func WithLatency(d time.Duration) Option { return func(s *Server) { s.latency = max(d, 0) } }

// WithQuota sets how many successful uploads and queries every credential has each day; 0, the
// default, is no limit. All tokens of a service account share its quota.
func WithQuota(uploads, queries int) Option {
	return func(s *Server) { s.uploadQuota, s.queryQuota = uploads, queries }
}

// WithResetLag sets how long after midnight UTC quotas are renewed. The default is 0.
func WithResetLag(d time.Duration) Option { return func(s *Server) { s.resetLag = max(d, 0) } }

// WithMaxFileSize sets the size, in bytes, above which a file is answered with 413. The default is
// wildfire.DefaultMaxFileSize.
func WithMaxFileSize(size int64) Option { return func(s *Server) { s.maxFileSize = size } }

// WithCapacity limits the stored samples (default 200,000) and calls (default 10,000). The oldest
// are dropped first.
func WithCapacity(samples, calls int) Option {
	return func(s *Server) { s.maxSamples, s.maxCalls = max(samples, 1), max(calls, 1) }
}

// WithStyle sets the format of all answers; see Style.
func WithStyle(style Style) Option { return func(s *Server) { s.style = style } }

// WithPlan sets a function that returns the plan of a sample. If it returns false, the markers
// decide. It must be safe for concurrent use.
func WithPlan(plan func(Sample) (Plan, bool)) Option { return func(s *Server) { s.planFor = plan } }

// WithToken accepts a Bearer token. Without this option, WithAPIKey, WithClient and WithAuth, any
// credential except an empty one is accepted; with any of them, unknown credentials are refused
// with 401.
func WithToken(token string) Option {
	return func(s *Server) { s.auth.strict = true; s.auth.static[token] = struct{}{} }
}

// WithAPIKey accepts a legacy key in the form field "apikey".
func WithAPIKey(key string) Option {
	return func(s *Server) { s.auth.strict = true; s.auth.keys[key] = struct{}{} }
}

// WithAuth refuses every token that the token service did not issue, except those of WithToken.
func WithAuth() Option { return func(s *Server) { s.auth.strict = true } }

// WithClient registers a service account at the token service. A tsg of "" accepts any scope;
// otherwise the scope must be "tsg_id:" and tsg.
func WithClient(id, secret, tsg string) Option {
	return func(s *Server) {
		s.auth.strict = true
		s.auth.clients[id] = account{secret: secret, tsg: tsg}
	}
}

// WithTokenLifetime sets how long tokens are valid, and expires_in. A part of a second counts as a
// whole one, because expires_in has whole seconds. The default is 900 s.
func WithTokenLifetime(d time.Duration) Option {
	whole := d.Truncate(time.Second)
	if whole < d {
		whole += time.Second
	}

	return func(s *Server) { s.auth.lifetime = whole }
}

// WithPhrases switches the vendor's reason phrases on or off; the default is on. They need a
// listener from Server.Listener, which Start uses.
func WithPhrases(on bool) Option { return func(s *Server) { s.phrases = on } }

// WithHTTPSOnly answers unencrypted calls with a redirect, as the service does, except for test
// files and the token service.
func WithHTTPSOnly() Option { return func(s *Server) { s.httpsOnly = true } }
