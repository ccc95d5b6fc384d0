package auth

import (
	"context"

	"golang.org/x/time/rate"
)

// New returns a Source for a profile. The caller closes it. New reads the secret files and fails if
// one is invalid. It makes no request; the first Token does.
func New(p Profile, opts ...Option) (*Source, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}

	o := newOptions(opts)
	s := &Source{
		minter:      &minter{profile: p, timing: o.timing, log: o.logger(p)},
		transport:   o.transport,
		hosts:       newHostSet(p, o.hosts),
		renewalPace: rate.NewLimiter(rate.Every(o.timing.renewGap), renewBurst),
		changed:     make(chan struct{}),
	}
	s.background, s.stopBackground = context.WithCancel(context.Background())
	if err := s.assemble(o); err != nil {
		s.stopBackground()
		return nil, err
	}

	for _, w := range p.warnings() {
		s.log.Warn().Msg(w)
	}
	if s.shared != nil {
		s.wg.Go(func() { s.shared.run(s.background, s.applyRecord) })
	}

	return s, nil
}

// assemble creates the parts that can fail.
func (s *Source) assemble(o options) (err error) {
	if s.credential, err = openCredential(s.profile, s.Kind().FormField()); err != nil {
		return err
	}
	if s.shared, err = newShared(s.minter, o); err != nil {
		return err
	}
	if s.metrics, err = newMetrics(s.profile.Name, o.registry, s.gauges()); err != nil {
		return err
	}
	if s.grant, err = s.profile.preset().grant(s.profile.parts(s.credential, s.metrics, o)); err != nil {
		s.metrics.unregister()
	}

	return err
}

// Close stops the background work, waits for it, and drops the token. Waiting callers get
// ErrClosed.
func (s *Source) Close() error {
	s.mu.Lock()
	s.closed = true
	s.announce()
	s.mu.Unlock()
	s.stopBackground()
	s.wg.Wait()
	s.grant.Close()
	s.current.Store(nil)
	s.metrics.unregister()

	return nil
}
