package main

import (
	"sync"
	"time"

	"backburn/internal/cli"
	"backburn/internal/guard"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// submission is one run of the submit command.
type submission struct {
	tool     *cli.App
	queue    *queue.Queue
	guard    *guard.Guard
	priority pipeline.Priority
	leave    pipeline.Submit
	source   string
	wait     bool
	asJSON   bool
	timeout  time.Duration
	limit    int64 // largest file, in bytes
	bars     *submitBars

	mu      sync.Mutex
	entries []*entry          // in the order in which they were found
	byJob   map[string]*entry // accepted entries
	open    int               // number of accepted entries without a final event
	walked  bool              // all arguments were submitted
	all     chan struct{}     // closed when every entry has its final event
}

// entry is a file or a link, and its result.
type entry struct {
	path, url string
	job       string
	size      int64
	state     string // accepted, decided, pending, error
	err       error
	event     *results.Event
}

// The states of an entry.
const (
	stateAccepted = "accepted"
	stateDecided  = "decided"
	statePending  = "pending"
	stateError    = "error"
)

// settled reports whether every entry is finished, and then closes all. The caller holds mu.
func (s *submission) settled() bool {
	if !s.walked || s.open > 0 {
		return false
	}
	select {
	case <-s.all:
	default:
		close(s.all)
	}
	return true
}
