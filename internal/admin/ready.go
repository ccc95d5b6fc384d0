package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Check is one thing that a process needs to do its work.
type Check struct {
	Name string
	// Ask returns nil when all is well, or a Warning. It should end with its context; one that does
	// not is reported as failed, and is not asked again before it has ended. Its error
	// is shown to whoever asks, so it must hold no secret. Safe for concurrent use.
	Ask func(ctx context.Context) error
	// Timeout bounds Ask. Defaults to 2s.
	Timeout time.Duration
}

// Warning is what a check returns when all that is needed works, and something else deserves a look.
// The check is ok, and the text is shown.
type Warning string

func (w Warning) Error() string { return string(w) }

// The states in the body of /readyz.
const (
	stateOK     = "ok"
	stateFailed = "failed"
)

// Readiness is the body of /readyz. Status is "ok" or "failed".
type Readiness struct {
	Status string                 `json:"status"`
	Checks map[string]CheckResult `json:"checks"`
}

// CheckResult is what one check said. TookSeconds is how long that took.
type CheckResult struct {
	Status      string  `json:"status"`
	Error       string  `json:"error,omitempty"`   // where the status is "failed"
	Warning     string  `json:"warning,omitempty"` // where it is "ok" all the same
	TookSeconds float64 `json:"took_seconds"`
}

// readiness answers /readyz.
func readiness(checks []Check) http.HandlerFunc {
	askers := make([]*asker, len(checks))
	for i, c := range checks {
		if c.Timeout <= 0 {
			c.Timeout = checkTimeout
		}
		askers[i] = &asker{check: c, free: make(chan struct{}, 1)}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		results := make([]CheckResult, len(askers))
		var all sync.WaitGroup
		for i, a := range askers {
			all.Go(func() { results[i] = a.ask(r.Context()) })
		}
		all.Wait()

		body, code := Readiness{Status: stateOK, Checks: map[string]CheckResult{}}, http.StatusOK
		for i, a := range askers {
			body.Checks[a.check.Name] = results[i]
			if results[i].Status != stateOK {
				body.Status, code = stateFailed, http.StatusServiceUnavailable
			}
		}
		writeJSON(w, code, body)
	}
}

// asker asks one check, once at a time, so that a check that hangs costs one goroutine
// however often the process is asked whether it is ready.
type asker struct {
	check Check
	free  chan struct{} // holds something while the check is being asked
}

func (a *asker) ask(ctx context.Context) CheckResult {
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(ctx, a.check.Timeout, fmt.Errorf("no answer within %s", a.check.Timeout))
	defer cancel()
	err := a.once(ctx)
	result := CheckResult{Status: stateOK, TookSeconds: time.Since(start).Seconds()}
	if warning, ok := errors.AsType[Warning](err); ok {
		result.Warning = string(warning)
	} else if err != nil {
		result.Status = stateFailed
		result.Error = err.Error()
	}

	return result
}

func (a *asker) once(ctx context.Context) error {
	select {
	case a.free <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	answer := make(chan error, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				answer <- errors.New("the check panicked") // the value may hold anything
			}
			<-a.free
		}()
		answer <- a.check.Ask(ctx)
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
