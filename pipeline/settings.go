package pipeline

import "sync/atomic"

// Settings is the configuration of a worker and its poller, which may change while they run. It is
// safe for concurrent use.
type Settings struct{ now atomic.Pointer[Config] }

// NewSettings returns the settings of a start.
func NewSettings(c Config) *Settings {
	s := &Settings{}
	s.Set(c)

	return s
}

// Now returns the configuration of this moment. Whoever needs several values that belong together
// asks once.
func (s *Settings) Now() Config { return *s.now.Load() }

// Set changes the configuration. What is under way may end with the one before.
func (s *Settings) Set(c Config) { s.now.Store(&c) }
