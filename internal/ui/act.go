package ui

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"github.com/rs/zerolog"

	"backburn/internal/config"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
)

// Actions are the actions of a user on the page. Each is recorded as audit events.
type Actions interface {
	// Retry submits the job of a dead letter again, as `backburn dead replay` does, and returns its
	// new ID.
	Retry(ctx context.Context, letter uint64) (job string, err error)
	// AskAgain asks WildFire about contents or a link, as `backburn recheck SHA256` does, and
	// returns its verdict. Either sha256 or url is "".
	AskAgain(ctx context.Context, sha256, url string) (verdict string, err error)
	// Pause stops all uploads for a while, as `backburn pause` does.
	Pause(ctx context.Context, reason string, d time.Duration) (fleet.Pause, error)
	// Resume ends a pause of the uploads, as `backburn resume` does.
	Resume(ctx context.Context) (fleet.Pause, error)
}

const (
	maxActionBytes = 64 << 10 // largest request: JSON with a link of the greatest length
	actionTimeout  = 30 * time.Second
	maxReason      = 200 // longest reason of a pause, in characters
)

// ActionHeader is required in every action request. A page of another origin can set it only after
// a CORS preflight request, which is refused.
const ActionHeader = "Backburn-Act"

// actionHandler serves the actions of users.
type actionHandler struct {
	actionsOf func(by, from string) Actions // returns the actions of a user at an address; nil: there are no actions
	user      func(*http.Request) string    // returns the user of a request
	log       zerolog.Logger
}

// serveUser returns the user of the request, who may act.
func (a *actionHandler) serveUser(w http.ResponseWriter, r *http.Request) {
	user := ""
	if a.actionsOf != nil && a.user != nil {
		user = a.user(r)
	}
	writeJSON(w, http.StatusOK, map[string]string{"user": user})
}

// handler serves the actions. Without a user it answers 404.
func (a *actionHandler) handler() http.Handler {
	origins := http.NewCrossOriginProtection()
	origins.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.log.Warn().Str("action", r.PathValue("action")).Str("origin", r.Header.Get("Origin")).Str("from", r.RemoteAddr).
			Msg("refused a cross-site action on the dashboard")
		writeError(w, http.StatusForbidden, errors.New("cross-site actions are not allowed"))
	}))

	return origins.Handler(http.HandlerFunc(a.serveAction))
}

// request has the parameters of an action.
type request struct {
	Letter uint64 `json:"letter,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	URL    string `json:"url,omitempty"`
	For    string `json:"for,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func (a *actionHandler) serveAction(w http.ResponseWriter, r *http.Request) {
	user := a.user(r)
	run, known := map[string]func(context.Context, Actions, request) (string, error){
		"retry":  retry,
		"ask":    askAgain,
		"pause":  pause,
		"resume": resume,
	}[r.PathValue("action")]
	if user == "" || !known {
		http.NotFound(w, r)
		return
	}

	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/json" || r.Header.Get(ActionHeader) == "" {
		writeError(w, http.StatusUnsupportedMediaType, errors.New("an action needs a JSON body and the header "+ActionHeader))
		return
	}

	req, err := decode(http.MaxBytesReader(w, r.Body, maxActionBytes))
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}

	ctx, cancel := context.WithTimeout(r.Context(), actionTimeout)
	defer cancel()
	done, err := run(ctx, a.actionsOf(user, clientAddress(r)), req)
	a.audit(r, user, req, done, err)
	if err != nil {
		writeError(w, statusOf(err), err)
		return
	}

	writeJSON(w, http.StatusOK, map[string]string{"done": done})
}

// clientAddress returns the IP address of the client.
func clientAddress(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}

	return host
}

// decode reads one object, and refuses unknown fields.
func decode(body io.Reader) (request, error) {
	var req request
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		return req, fmt.Errorf("invalid request: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return req, errors.New("invalid request: more than one object")
	}

	return req, nil
}

// audit logs an action and its user.
func (a *actionHandler) audit(r *http.Request, user string, req request, done string, err error) {
	e := a.log.Info()
	if err != nil {
		e = a.log.Warn().Err(err)
	}

	e = e.Str("audit", r.PathValue("action")).Str("user", user).Str("from", r.RemoteAddr)
	for key, text := range map[string]string{"sha256": req.SHA256, "url": req.URL, "for": req.For, "reason": req.Reason, "done": done} {
		e = addString(e, key, text)
	}
	if req.Letter > 0 {
		e = e.Uint64("letter", req.Letter)
	}

	e.Msg("dashboard action")
}

// addString adds a field unless the text is empty.
func addString(e *zerolog.Event, key, text string) *zerolog.Event {
	if text == "" {
		return e
	}

	return e.Str(key, text)
}

// errRequest means that the parameters of an action are invalid.
var errRequest = errors.New("invalid request")

func retry(ctx context.Context, acts Actions, req request) (string, error) {
	if req.Letter == 0 {
		return "", fmt.Errorf("%w: letter: expected the number of a dead letter", errRequest)
	}
	job, err := acts.Retry(ctx, req.Letter)
	if err != nil {
		return "", err
	}

	return "submitted again as job " + job, nil
}

func askAgain(ctx context.Context, acts Actions, req request) (string, error) {
	switch {
	case req.SHA256 != "" && req.URL != "":
		return "", fmt.Errorf("%w: expected either sha256 or url", errRequest)
	case req.URL == "" && !sha256Pattern.MatchString(req.SHA256):
		return "", fmt.Errorf("%w: sha256: expected 64 lower-case hexadecimal digits", errRequest)
	case req.URL != "" && !pipeline.ValidURL(req.URL):
		return "", fmt.Errorf("%w: url: expected http:// or https://, of at most %d bytes", errRequest, pipeline.MaxURLBytes)
	}

	verdict, err := acts.AskAgain(ctx, req.SHA256, req.URL)
	if err != nil {
		return "", err
	}

	return "WildFire says: " + verdict, nil
}

func pause(ctx context.Context, acts Actions, req request) (string, error) {
	d, err := config.ParseDuration(req.For)
	if err != nil || d < fleet.ShortestManualPause || d > fleet.LongestManualPause {
		return "", fmt.Errorf("%w: for: expected 1m to 7d, such as 4h, got %q", errRequest, req.For)
	}
	if len([]rune(req.Reason)) > maxReason {
		return "", fmt.Errorf("%w: reason: at most %d characters", errRequest, maxReason)
	}

	p, err := acts.Pause(ctx, req.Reason, d)
	if err != nil {
		return "", err
	}

	return "uploads are paused until " + p.Until.Format(time.RFC3339), nil
}

func resume(ctx context.Context, acts Actions, _ request) (string, error) {
	p, err := acts.Resume(ctx)
	if err != nil {
		return "", err
	}
	if p.Until.IsZero() {
		return "uploads were not paused", nil
	}

	return "uploads continue", nil
}

// statusOf returns the HTTP status of a failed action.
func statusOf(err error) int {
	switch {
	case errors.Is(err, errRequest):
		return http.StatusBadRequest
	case errors.Is(err, queue.ErrNoLetter):
		return http.StatusNotFound
	case errors.Is(err, queue.ErrContentsGone), errors.Is(err, fleet.ErrSpent):
		return http.StatusConflict
	case errors.Is(err, pipeline.ErrFull):
		return http.StatusInsufficientStorage
	}

	return http.StatusServiceUnavailable
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}
