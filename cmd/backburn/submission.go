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
	tool      *cli.App
	queue     *queue.Queue
	guard     *guard.Guard
	priority  pipeline.Priority
	maxSubmit pipeline.Submit
	source    string
	wait      bool
	asJSON    bool
	timeout   time.Duration
	giveUpAt  time.Time // when the timeout ends; zero: never
	limit     int64     // largest file, in bytes
	bars      *progressBars
	submitted *countBar
	decided   *countBar // counts only files that could be submitted; nil without wait

	mu           sync.Mutex
	entries      []*entry          // in the order in which they were found
	byJob        map[string]*entry // entries by the ID of their job, without those that could not be submitted
	unfinished   int               // number of accepted entries without a final event
	allSubmitted bool              // all arguments were submitted
	allFinished  chan struct{}     // closed when every entry has its final event
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

// closeIfFinished reports whether every entry is finished, and then closes allFinished. The caller
// holds mu.
func (s *submission) closeIfFinished() bool {
	if !s.allSubmitted || s.unfinished > 0 {
		return false
	}
	select {
	case <-s.allFinished:
	default:
		close(s.allFinished)
	}
	return true
}
