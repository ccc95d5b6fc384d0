package api

import "time"

// Limits of the API.
const (
	stallTimeout = 30 * time.Second // longest time without data from a body
	bodyRate     = 4 << 10          // lowest average rate of a body, in bytes per second
	answerTime   = 30 * time.Second // for writing an answer
	maxWait      = 2 * time.Minute  // longest ?wait
	askTimeout   = 10 * time.Second // for NATS to answer
	submissions  = 64               // concurrent submissions; with several tokens, each may use half of them
	streams      = 64               // concurrent event streams
)
