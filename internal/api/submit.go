package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// Accepted is the answer to a submission that has no final event yet.
type Accepted struct {
	JobID  string `json:"job_id"`
	State  string `json:"state"`            // "accepted"
	SHA256 string `json:"sha256,omitempty"` // of a file
	Size   *int64 `json:"size,omitempty"`   // likewise, in bytes
}

// request is what a submission asks for.
type request struct {
	job   pipeline.Job
	keyed bool // the client named the job's id
	wait  time.Duration
}

// fault is an error that is the client's, with the problem that it becomes.
type fault struct {
	status       int
	kind, detail string
}

func (f *fault) Error() string { return f.detail }

func bad(format string, a ...any) error {
	return &fault{http.StatusBadRequest, "invalid-request", fmt.Sprintf(format, a...)}
}

func (s *Server) submit(w http.ResponseWriter, r *http.Request) {
	if s.inHand.Add(1) > submissions {
		s.inHand.Add(-1)
		w.Header().Set("Retry-After", "1")
		problem(w, http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d submissions are in hand already", submissions))
		return
	}
	req, stored, err := s.take(w, r)
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // it would end the wait for the event, too
	s.inHand.Add(-1)
	if err != nil {
		s.refuse(w, r, req, err)
		return
	}
	id := req.job.ID
	s.cfg.Log.Debug().Str("job", id).Str("sha256", stored.SHA256).Int64("size", stored.Size).Msg("accepted HTTP submission")
	if req.wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), req.wait)
		defer cancel()
		defer context.AfterFunc(s.ending, cancel)()
		ev, err := s.cfg.Queue.Await(ctx, req.job.Ref())
		switch {
		case err == nil:
			answerEvent(w, ev)
			return
		}
		if !errors.Is(err, queue.ErrPending) { // it is accepted all the same
			s.cfg.Log.Warn().Err(err).Str("job", id).Msg("cannot wait for a job")
		}
	}
	w.Header().Set("Location", "/v1/jobs/"+url.PathEscape(id))
	accepted := Accepted{JobID: id, State: "accepted", SHA256: stored.SHA256}
	if req.job.URL == "" {
		accepted.Size = &stored.Size
	}
	answer(w, http.StatusAccepted, accepted)
}

// take reads a submission and hands it in, into the trace of the client, if it names one. The ledger
// tells what comes under a key that was used before.
func (s *Server) take(w http.ResponseWriter, r *http.Request) (request, queue.Receipt, error) {
	req, err := s.parse(r)
	if err != nil {
		return req, queue.Receipt{}, err
	}
	body, err := s.body(w, r, &req.job)
	if err != nil {
		return req, queue.Receipt{}, err
	}
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	var content queue.Content
	if req.job.URL == "" {
		content = queue.FromReader(body, s.cfg.MaxFileSize)
	}
	receipt, err := s.cfg.Intake.Submit(ctx, req.job, content)

	return req, receipt, err
}

// body is where the contents of a submission are read from, and completes the file's name; a link has
// no contents.
func (s *Server) body(w http.ResponseWriter, r *http.Request, j *pipeline.Job) (io.Reader, error) {
	switch {
	case j.URL != "" && r.ContentLength != 0:
		return nil, bad("a link, or a file: ?url=… comes without a body")
	case j.URL != "":
		return nil, nil
	case r.ContentLength > s.cfg.MaxFileSize+maxEnvelope:
		return nil, queue.ErrTooLarge // before any of it is sent
	}
	body := io.Reader(&steady{r: http.MaxBytesReader(w, r.Body, s.cfg.MaxFileSize+maxEnvelope), c: http.NewResponseController(w)})
	if mt, params, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && mt == "multipart/form-data" {
		if body, err = filePart(body, params["boundary"], j); err != nil {
			return nil, err
		}
	}
	if j.Filename == "" {
		return nil, bad("name the file: ?filename=…, or as the file name of a part of multipart/form-data; or name a link: ?url=…")
	}
	return body, nil
}

// maxEnvelope is what a body may hold beside the file: the borders and headers of multipart.
const maxEnvelope = 64 << 10

// plain matches keys that can be ids as they are, and are safe wherever ids appear.
var plain = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

// parse reads everything of a request but its body.
func (s *Server) parse(r *http.Request) (request, error) {
	req := request{job: pipeline.Job{Source: s.cfg.Source, Priority: s.cfg.Priority, ReceivedAt: time.Now().UTC()}}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return req, bad("the query can't be read")
	}
	for name := range q {
		if !slices.Contains([]string{"filename", "path", "url", "wait"}, name) {
			return req, bad("unknown parameter %q: there are filename, path, url and wait", name)
		}
	}
	req.job.ID = strings.Trim(r.Header.Get("Idempotency-Key"), `"`)
	if req.keyed = req.job.ID != ""; !req.keyed {
		req.job.ID = "api-" + rand.Text()
	} else if !plain.MatchString(req.job.ID) {
		return req, bad("Idempotency-Key: 1 to 128 of A-Z a-z 0-9 . _ ~ -")
	}
	if p := r.Header.Get("Backburn-Priority"); p != "" {
		if req.job.Priority = pipeline.Priority(p); !req.job.Priority.Valid() {
			return req, bad("Backburn-Priority: urgent, normal or bulk")
		}
	}
	if s := q.Get("wait"); s != "" {
		if req.wait, err = time.ParseDuration(s); err != nil || req.wait < 0 || req.wait > maxWait {
			return req, bad("wait: a duration such as 10s, at most %s", maxWait)
		}
	}
	if req.job.URL = q.Get("url"); q.Has("url") && (!pipeline.ValidURL(req.job.URL) || q.Has("filename") || q.Has("path")) {
		return req, bad("url: an http or https URL of at most 8 KiB, and then neither filename nor path")
	}
	req.job.Filename, req.job.FilenameB64 = pipeline.Name(baseName(q.Get("filename")))
	req.job.Path, req.job.PathB64 = pipeline.Name(q.Get("path"))
	return req, s.metadata(r, &req.job)
}

func (s *Server) metadata(r *http.Request, j *pipeline.Job) error {
	size := len(j.Filename) + len(j.Path)
	for key, values := range r.Header {
		name, ok := strings.CutPrefix(key, queue.HeaderMeta)
		if !ok || name == "" {
			continue
		}
		if j.Metadata == nil {
			j.Metadata = map[string]string{}
		}
		text := strings.ToValidUTF8(values[0], "\uFFFD")
		j.Metadata[strings.ToLower(name)] = text
		size += len(name) + len(text)
	}
	if len(j.Metadata) > 32 || size > 8<<10 {
		return bad("at most 32 headers %s*, and 8 KiB of names and metadata", queue.HeaderMeta)
	}
	return nil
}

// baseName is the last element of a name from either kind of system.
func baseName(s string) string { return s[strings.LastIndexAny(s, `/\`)+1:] }

// refuse answers a submission that was not accepted.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, req request, err error) {
	var (
		f     *fault
		large *http.MaxBytesError
		read  *readError
	)
	switch {
	case errors.As(err, &f):
		problem(w, f.status, f.kind, f.detail)
	case errors.Is(err, queue.ErrTooLarge), errors.As(err, &large):
		problem(w, http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("at most %d bytes", s.cfg.MaxFileSize))
	case errors.Is(err, queue.ErrOtherContents):
		problem(w, http.StatusConflict, "other-contents", "something else was handed in under this Idempotency-Key, and this was not accepted: use another key")
	case errors.As(err, &read):
		problem(w, http.StatusBadRequest, "incomplete", "the body ended before it was complete")
	case errors.Is(err, pipeline.ErrFull):
		w.Header().Set("Retry-After", "10")
		problem(w, http.StatusServiceUnavailable, "full", "the queue is full; nothing was accepted")
	case r.Context().Err() != nil: // nobody is there to be answered
	default:
		s.cfg.Log.Error().Err(err).Str("job", req.job.ID).Msg("a submission could not be handed in")
		w.Header().Set("Retry-After", "10")
		problem(w, http.StatusServiceUnavailable, "unavailable", "the queue does not answer; whether it was accepted is not known: repeat it with the same Idempotency-Key")
	}
}
