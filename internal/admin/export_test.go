package admin

import "time"

// Hurry gives requests of a server that does not run yet so much time and no more.
func (s *Server) Hurry(d time.Duration) { s.http.ReadTimeout, s.http.WriteTimeout = d, d }
