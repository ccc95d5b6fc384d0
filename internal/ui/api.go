package ui

import (
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/history"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// Config has the page's data sources and settings. All fields are required except Portal, User and
// Actions.
type Config struct {
	History interface {
		Summary() (*history.Summary, history.State)
	}
	Trace  func(context.Context, queue.TraceQuery) (queue.Trace, error)
	Portal string // URL of WildFire's portal for people; "" if unknown
	Log    zerolog.Logger

	// User returns the user of a request, or "". If nil, there are no users. Actions returns the
	// actions of a user at an IP address. If nil, there are no actions.
	User    func(*http.Request) string
	Actions func(by, from string) Actions
}

const (
	maxConcurrentTraces = 2               // concurrent traces; each reads whole streams
	traceLimit          = 2000            // most messages that a trace reads of a stream
	traceTimeout        = 8 * time.Second // timeout of one trace
)

// New returns a handler that serves the page on /, and the page's API:
//
//	GET /api/overview            the last 24 hours in numbers
//	GET /api/search?q=…          events, the newest first
//	GET /api/job?source=…&id=…   a job: its events, its trace, other jobs with the same contents
//	GET /api/me                  the user, who may act
//
// These change nothing. Users may also act (see Actions):
//
//	POST /api/act/retry    {"letter": 17}
//	POST /api/act/ask      {"sha256": "…"} or {"url": "…"}
//	POST /api/act/pause    {"for": "4h", "reason": "…"}
//	POST /api/act/resume   {}
func New(cfg Config) http.Handler {
	a := &api{Config: cfg, traceSlots: make(chan struct{}, maxConcurrentTraces)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/overview", a.overview)
	mux.HandleFunc("GET /api/search", a.search)
	mux.HandleFunc("GET /api/job", a.job)
	act := &actionHandler{actionsOf: cfg.Actions, user: cfg.User, log: cfg.Log}
	mux.HandleFunc("GET /api/me", act.serveUser)
	if cfg.Actions != nil && cfg.User != nil {
		mux.Handle("POST /api/act/{action}", act.handler())
	}

	mux.Handle("GET /", page())

	return mux
}

type api struct {
	Config
	traceSlots chan struct{}
}

type overview struct {
	history.State
	Time time.Time `json:"time"`
	history.Overview
	Portal string `json:"portal,omitempty"`
}

func (a *api) overview(w http.ResponseWriter, _ *http.Request) {
	now := time.Now().UTC()
	summary, state := a.History.Summary()
	writeJSON(w, http.StatusOK, overview{State: state, Time: now, Overview: summary.Overview(now), Portal: a.Portal})
}

type searchResult struct {
	history.State
	history.SearchResult
	TookMS float64 `json:"took_ms"`
}

func (a *api) search(w http.ResponseWriter, r *http.Request) {
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	summary, state := a.History.Summary()
	start := time.Now()
	f := summary.Search(q)
	writeJSON(w, http.StatusOK, searchResult{State: state, SearchResult: f, TookMS: float64(time.Since(start).Microseconds()) / 1000})
}

// parseQuery reads the parameters of a search.
func parseQuery(v url.Values) (history.Query, error) {
	q := history.Query{Text: v.Get("q"), Sources: withoutEmpty(v["source"])}
	for _, o := range withoutEmpty(v["outcome"]) {
		if o == "malicious" {
			q.Outcomes = append(q.Outcomes, "malware", "grayware", "phishing", "c2")
		} else {
			q.Outcomes = append(q.Outcomes, o)
		}
	}

	var errs []error
	number := func(name string) uint64 {
		s := v.Get(name)
		if s == "" {
			return 0
		}

		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			errs = append(errs, errors.New(name+": expected a number"))
		}

		return n
	}
	moment := func(name string) time.Time {
		s := v.Get(name)
		if s == "" {
			return time.Time{}
		}

		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			errs = append(errs, errors.New(name+": expected a time such as 2026-03-14T12:00:00Z"))
		}

		return t
	}
	q.Since = moment("since")
	q.Until = moment("until")
	q.Before = number("before")
	q.After = number("after")
	q.Limit = int(min(number("limit"), 1000))

	return q, errors.Join(errs...)
}

// withoutEmpty drops empty values, which forms send.
func withoutEmpty(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == "" })
}

// job has the data of one job.
type job struct {
	history.State
	Time   time.Time     `json:"time"`
	Events []history.Hit `json:"events"` // the newest first
	Same   same          `json:"same"`   // other jobs with the same contents
	Trace  *queue.Trace  `json:"trace,omitempty"`
	Error  string        `json:"trace_error,omitempty"` // why there is no trace
}

// same are other jobs with the same contents.
type same struct {
	Hits []history.Hit `json:"hits"` // the newest event of each, the newest first
	Jobs int           `json:"jobs"` // their number, including those not in Hits
}

// maxSameJobs is how many other jobs are shown.
const maxSameJobs = 20

// sha256Of returns the SHA-256 of the contents that the events concern.
func sha256Of(events []history.Hit) (sum [32]byte, ok bool) {
	for _, e := range events {
		if sha256Pattern.MatchString(e.SHA256) {
			_, err := hex.Decode(sum[:], []byte(e.SHA256))
			return sum, err == nil
		}
	}

	return sum, false
}

func (a *api) job(w http.ResponseWriter, r *http.Request) {
	source, id := r.URL.Query().Get("source"), r.URL.Query().Get("id")
	if !pipeline.ValidSource(source) || id == "" {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "expected the source and id of a job"})
		return
	}

	summary, state := a.History.Summary()
	out := job{State: state, Time: time.Now().UTC(), Events: summary.Job(source, id), Same: same{Hits: []history.Hit{}}}
	if sum, ok := sha256Of(out.Events); ok {
		out.Same.Hits, out.Same.Jobs = summary.SameContents(sum, source, id, maxSameJobs)
	}

	t, err := a.trace(r.Context(), queue.TraceQuery{Job: id, Source: source, Limit: traceLimit})
	if err != nil {
		out.Error = err.Error()
	} else {
		out.Trace = &t
	}

	writeJSON(w, http.StatusOK, out)
}

// trace reads the trace of a job. It waits for a free place.
func (a *api) trace(ctx context.Context, q queue.TraceQuery) (queue.Trace, error) {
	ctx, cancel := context.WithTimeout(ctx, traceTimeout)
	defer cancel()
	select {
	case a.traceSlots <- struct{}{}:
		defer func() { <-a.traceSlots }()
	case <-ctx.Done():
		return queue.Trace{}, errors.New("too many traces are in progress; try again")
	}

	t, err := a.Trace(ctx, q)
	if errors.Is(err, context.DeadlineExceeded) {
		return t, errors.New("NATS does not answer in time")
	}

	return t, err
}
