package api

import "time"

// Limits of what the API takes on.
const (
	stallTimeout = 30 * time.Second // a body of which nothing came for so long
	bodyRate     = 4 << 10          // bytes per second that a body comes at on average, at least
	answerTime   = 30 * time.Second // for an answer to be read
	maxWait      = 2 * time.Minute  // of ?wait
	askTimeout   = 10 * time.Second // for NATS to answer
	submissions  = 64               // at a time; a token has at most half of them where there are several
	streams      = 64               // of events, at a time
)
