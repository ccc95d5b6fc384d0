package httpserver

import "time"

// Timeouts are what bounds a header, a request, an answer, and the time between requests.
func (s *Server) Timeouts() []time.Duration {
	return []time.Duration{s.http.ReadHeaderTimeout, s.http.ReadTimeout, s.http.WriteTimeout, s.http.IdleTimeout}
}

// SetTimeouts gives requests of a server that does not run yet so much time and no more, and twenty
// times as much for their answers.
func (s *Server) SetTimeouts(d time.Duration) {
	s.http.ReadHeaderTimeout = d
	s.http.ReadTimeout = d
	s.http.WriteTimeout = 20 * d
	s.http.IdleTimeout = d
}
