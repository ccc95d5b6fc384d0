package natsd

// SyncAlways is what the running server was told.
func (s *Server) SyncAlways() bool { return s.server.JetStreamConfig().SyncAlways }
