package api

import "time"

// Limits of the API.
const (
	stallTimeout    = 30 * time.Second // longest time without data from a body
	minBodyRate     = 4 << 10          // lowest average rate of a body, in bytes per second
	responseTimeout = 30 * time.Second // for writing an answer
	maxWait         = 2 * time.Minute  // longest ?wait
	natsTimeout     = 10 * time.Second // for NATS to answer
	maxSubmissions  = 64               // concurrent submissions; with several tokens, each may use half of them
	maxStreams      = 64               // concurrent event streams
)
