package pipeline

import "sync/atomic"

// Settings holds the configuration of a worker and its poller, which may change while they run. It
// is safe for concurrent use.
type Settings struct{ current atomic.Pointer[Config] }

// NewSettings returns settings with an initial configuration.
func NewSettings(c Config) *Settings {
	s := &Settings{}
	s.Set(c)

	return s
}

// Current returns the current configuration. A caller that needs several related values must call
// it only once.
func (s *Settings) Current() Config { return *s.current.Load() }

// Set changes the configuration. Work in progress may finish with the previous one.
func (s *Settings) Set(c Config) { s.current.Store(&c) }
