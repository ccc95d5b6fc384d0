package natsd

// SyncAlways returns the setting of the running server.
func (s *Server) SyncAlways() bool { return s.server.JetStreamConfig().SyncAlways }
