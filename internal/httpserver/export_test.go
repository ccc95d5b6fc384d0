package httpserver

import "time"

// Hurry gives requests of a server that does not run yet so much time and no more, and twenty times
// as much for their answers.
func (s *Server) Hurry(d time.Duration) {
	s.http.ReadHeaderTimeout = d
	s.http.ReadTimeout = d
	s.http.WriteTimeout = 20 * d
	s.http.IdleTimeout = d
}
