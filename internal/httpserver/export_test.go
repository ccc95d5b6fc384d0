package httpserver

import "time"

// Timeouts returns the limits for a header, a request, a response, and the time between requests.
func (s *Server) Timeouts() []time.Duration {
	return []time.Duration{s.http.ReadHeaderTimeout, s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout}
}

// SetTimeouts sets the time limit of requests, and a limit of twenty times d for responses. The
// server must not be running yet.
func (s *Server) SetTimeouts(d time.Duration) {
	s.http.ReadHeaderTimeout = d
	s.http.ReadTimeout = d
	s.http.WriteTimeout = 20 * d
	s.http.IdleTimeout = d
}
