package api

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"backburn/internal/httpserver"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// Accepted is the answer to a submission without a final event yet.
type Accepted struct {
	JobID  string `json:"job_id"`
	State  string `json:"state"`            // "accepted"
	SHA256 string `json:"sha256,omitempty"` // only for files
	Size   *int64 `json:"size,omitempty"`   // in bytes; only for files
}

// request is a parsed submission.
type request struct {
	job      pipeline.Job
	boundary string // of multipart/form-data
	form     bool
	wait     time.Duration
}

func (s *service) submit(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	c := clientOf(r)
	req, err := s.parse(r, c)
	var stored queue.Receipt
	if err == nil {
		stored, err = s.accept(w, r, c, &req)
	}

	if err != nil {
		s.refuse(w, r, c, req, err)
		return
	}

	result := resultAccepted
	if stored.Duplicate {
		result = resultRepeated
	}

	s.metrics.submissions.WithLabelValues(c.Source, result).Inc()
	s.metrics.seconds.Observe(time.Since(began).Seconds())
	id := req.job.ID
	s.deps.Log.Debug().Str("job", id).Str("source", c.Source).Str("sha256", stored.SHA256).Int64("size", stored.Size).Msg("accepted HTTP submission")
	w.Header().Del("Connection") // the body was read, so the connection can be reused
	if req.wait > 0 && s.await(w, r, req) {
		return
	}

	w.Header().Set("Location", s.cfg.BasePath+"/v1/jobs/"+url.PathEscape(id))
	accepted := Accepted{JobID: id, State: "accepted", SHA256: stored.SHA256}
	if req.job.URL == "" {
		accepted.Size = &stored.Size
	}

	writeJSON(w, http.StatusAccepted, accepted)
}

// await waits for the final event of an accepted job, and reports whether it has sent the event as
// the answer.
func (s *service) await(w http.ResponseWriter, r *http.Request, req request) bool {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // a read deadline would end the wait
	_ = control.SetWriteDeadline(time.Now().Add(req.wait + responseTimeout))
	ctx, stop := httpserver.UntilStop(r)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, req.wait)
	defer cancel()

	ev, err := s.deps.Queue.Ledger().Await(ctx, req.job.Ref())
	if err == nil {
		writeBody(w, http.StatusOK, results.ContentType, ev)
		return true
	}

	if !errors.Is(err, queue.ErrNoFinalEvent) { // the job is accepted anyway
		s.deps.Log.Warn().Err(err).Str("job", req.job.ID).Msg("cannot wait for a job")
	}

	return false
}

// accept reads a submission and submits it, as a part of the client's trace if there is one. The
// ledger detects an Idempotency-Key that was used before.
func (s *service) accept(w http.ResponseWriter, r *http.Request, c *client, req *request) (queue.Receipt, error) {
	release, err := s.admit(w, c)
	if err != nil {
		return queue.Receipt{}, err
	}
	defer release()
	if err := s.deps.Ready(r.Context()); err != nil {
		return queue.Receipt{}, err
	}

	ctx := newNATSContext(propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header)))
	defer ctx.release()
	var content queue.Input
	if req.job.URL == "" {
		body, err := s.body(w, r, ctx, req)
		if err != nil {
			return queue.Receipt{}, err
		}

		content = queue.FromReader(body, s.cfg.MaxFileSize)
	}

	receipt, err := s.deps.Intake.Submit(ctx, req.job, content)
	if err != nil && errors.Is(context.Cause(ctx), errNoAnswer) {
		err = fmt.Errorf("%w: %w", errNoAnswer, err)
	}

	return receipt, err
}

// admit admits a submission, within the token's rate and the limit of concurrent submissions.
func (s *service) admit(w http.ResponseWriter, c *client) (release func(), err error) {
	release = func() { s.inProgress.Add(-1); c.inProgress.Add(-1) }
	if all, own := s.inProgress.Add(1), c.inProgress.Add(1); all > maxSubmissions || own > c.maxInProgress {
		release()
		setRetryAfter(w, time.Second)

		return nil, &fault{http.StatusServiceUnavailable, "busy", fmt.Sprintf("%d submissions are already in progress, %d of this token", all-1, own-1)}
	}
	if c.limiter == nil {
		return release, nil
	}

	reservation := c.limiter.Reserve() // last, because one without a delay cannot be canceled
	if wait := reservation.Delay(); wait > 0 {
		reservation.Cancel()
		release()
		setRetryAfter(w, wait)

		return nil, &fault{http.StatusTooManyRequests, "rate-limited", fmt.Sprintf("at most %g submissions per second with this token", c.Rate)}
	}

	return release, nil
}

// body returns the reader of a submission's contents, and completes the file's name.
func (s *service) body(w http.ResponseWriter, r *http.Request, nats *natsContext, req *request) (io.Reader, error) {
	j := &req.job
	body := io.Reader(&bodyReader{r: r.Body, c: http.NewResponseController(w), nats: nats, began: time.Now()})
	if req.form {
		var err error
		if body, err = openForm(body, req.boundary, s.cfg.MaxFileSize, j); err != nil {
			return nil, err
		}
	}

	if j.Filename == "" {
		return nil, badRequest("name the file with ?filename=… or in its part of multipart/form-data, or submit a link with ?url=…")
	}
	if err := j.CheckText(); err != nil { // the name may come from the form
		return nil, badRequest("%s", invalidReason(err))
	}

	return body, nil
}

// invalidReason returns the reason why a job is invalid, for the client.
func invalidReason(err error) string {
	return strings.TrimPrefix(err.Error(), pipeline.ErrInvalidJob.Error()+": ")
}

// keyPattern matches Idempotency-Keys that can be used unchanged as job IDs.
var keyPattern = regexp.MustCompile(`^[A-Za-z0-9._~-]{1,128}$`)

// validKey reports whether an Idempotency-Key can be a job ID and the last part of a path.
func validKey(key string) bool { return keyPattern.MatchString(key) && key != "." && key != ".." }

// parse reads and checks a request, but not its body.
func (s *service) parse(r *http.Request, c *client) (request, error) {
	req := request{job: pipeline.Job{Source: c.Source, Priority: c.Priority, ReceivedAt: time.Now().UTC()}}
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return req, badRequest("the query is invalid")
	}

	for name, values := range q {
		if !slices.Contains([]string{"filename", "path", "url", "wait"}, name) {
			return req, badRequest("unknown parameter %q: the parameters are filename, path, url and wait", name)
		}
		if len(values) > 1 {
			return req, badRequest("%s: send it once", name)
		}
	}

	if err := s.headers(r, c, &req); err != nil {
		return req, err
	}

	if text := q.Get("wait"); q.Has("wait") {
		if req.wait, err = time.ParseDuration(text); err != nil || req.wait < 0 || req.wait > maxWait {
			return req, badRequest("wait: expected a duration such as 10s, at most %s", maxWait)
		}
	}

	if req.job.URL = q.Get("url"); q.Has("url") {
		switch {
		case !pipeline.ValidURL(req.job.URL) || q.Has("filename") || q.Has("path"):
			return req, badRequest("url: expected an http or https URL of at most 8 KiB, without filename and path")
		case r.ContentLength != 0:
			return req, badRequest("send a link or a file: a request with ?url=… has no body")
		}
	}

	req.job.Filename, req.job.FilenameB64 = pipeline.EncodeName(pipeline.BaseName(q.Get("filename")))
	req.job.Path, req.job.PathB64 = pipeline.EncodeName(q.Get("path"))
	if err := s.metadata(r, &req.job); err != nil {
		return req, err
	}
	if err := req.job.CheckText(); err != nil {
		return req, badRequest("%s", invalidReason(err))
	}
	if req.boundary, req.form, err = formBoundary(r); err != nil {
		return req, err
	}

	framing := int64(0)
	if req.form {
		framing = 2 * maxFraming
	}
	if r.ContentLength > s.cfg.MaxFileSize+framing {
		return req, queue.ErrTooLarge // before the body is read
	}

	return req, nil
}

// headers reads the headers: the job's ID, its priority, and whether the file may be uploaded.
func (s *service) headers(r *http.Request, c *client, req *request) error {
	for _, name := range []string{"Idempotency-Key", headerPriority, queue.HeaderSubmit, queue.HeaderSubmitReason} {
		if len(r.Header.Values(name)) > 1 {
			return badRequest("%s: send it once", name)
		}
	}
	if err := checkHeaderNames(r.Header); err != nil {
		return err
	}

	req.job.ID = "api-" + rand.Text()
	if keys := r.Header.Values("Idempotency-Key"); len(keys) == 1 {
		req.job.ID = strings.TrimSuffix(strings.TrimPrefix(keys[0], `"`), `"`)
		if !validKey(req.job.ID) {
			return badRequest("Idempotency-Key: expected 1 to 128 of A-Z a-z 0-9 . _ ~ -, and neither . nor ..")
		}
	}

	if p := r.Header.Get(headerPriority); p != "" {
		if req.job.Priority = pipeline.Priority(p); !req.job.Priority.Valid() {
			return badRequest(headerPriority + ": expected urgent, normal or bulk")
		}
	}

	req.job.Submit = pipeline.Submit(r.Header.Get(queue.HeaderSubmit))
	req.job.SubmitReason = strings.ToValidUTF8(r.Header.Get(queue.HeaderSubmitReason), "\uFFFD")
	if req.job.Submit != "" && !slices.Contains(pipeline.Submits(), req.job.Submit) {
		return badRequest("%s: expected always, lookup or never", queue.HeaderSubmit)
	}
	if req.job.Priority == pipeline.Urgent && !c.Urgent {
		return &fault{http.StatusForbidden, "forbidden", "this token may not use the priority urgent"}
	}

	return nil
}

// headerPriority is the header with the priority of a submission.
const headerPriority = "Backburn-Priority"

// checkHeaderNames refuses unknown headers that begin with "Backburn-": a misspelled one would not
// restrict the job.
func checkHeaderNames(h http.Header) error {
	for name := range h {
		if !strings.HasPrefix(name, "Backburn-") || strings.HasPrefix(name, queue.HeaderMeta) && name != queue.HeaderMeta {
			continue
		}
		if !slices.Contains([]string{headerPriority, queue.HeaderSubmit, queue.HeaderSubmitReason}, name) {
			return badRequest("unknown header %s: the headers are %s, %s, %s and %sNAME", name,
				headerPriority, queue.HeaderSubmit, queue.HeaderSubmitReason, queue.HeaderMeta)
		}
	}

	return nil
}

func (s *service) metadata(r *http.Request, j *pipeline.Job) error {
	size := len(j.Filename) + len(j.Path)
	for key, values := range r.Header {
		name, ok := strings.CutPrefix(key, queue.HeaderMeta)
		if !ok || name == "" {
			continue
		}
		if len(values) > 1 {
			return badRequest("%s: send it once", key)
		}
		if j.Metadata == nil {
			j.Metadata = map[string]string{}
		}

		text := strings.ToValidUTF8(values[0], "\uFFFD")
		j.Metadata[strings.ToLower(name)] = text
		size += len(name) + len(text)
	}

	if len(j.Metadata) > pipeline.MaxMetadataPairs || size > pipeline.MaxMetadataBytes {
		return badRequest("expected at most 32 headers %s*, and 8 KiB of names and metadata", queue.HeaderMeta)
	}

	return nil
}

// refuse answers a submission that was not accepted.
func (s *service) refuse(w http.ResponseWriter, r *http.Request, c *client, req request, err error) {
	var (
		f    *fault
		read *readError
	)
	status, kind := http.StatusServiceUnavailable, "unavailable"
	var detail string
	switch {
	case errors.As(err, &f):
		status, kind = f.status, f.kind
		detail = f.detail
	case errors.Is(err, queue.ErrTooLarge):
		status, kind = http.StatusRequestEntityTooLarge, "too-large"
		detail = fmt.Sprintf("the file may have at most %d bytes", s.cfg.MaxFileSize)
	case errors.Is(err, queue.ErrOtherContents):
		status, kind = http.StatusConflict, "other-contents"
		detail = "other contents were already submitted with this Idempotency-Key, so this was not accepted: use another key"
	case errors.As(err, &read):
		status, kind = http.StatusBadRequest, "incomplete"
		detail = "the body ended or stalled before it was complete"
	case errors.Is(err, pipeline.ErrInvalidJob):
		status, kind = http.StatusBadRequest, "invalid-request"
		detail = invalidReason(err)
	case errors.Is(err, pipeline.ErrFull):
		status, kind = http.StatusTooManyRequests, "full"
		detail = "the queue is full; nothing was accepted"
		setRetryAfter(w, natsTimeout)
	case r.Context().Err() != nil: // the client is gone
		s.metrics.submissions.WithLabelValues(c.Source, resultGone).Inc()
		return
	default:
		s.deps.Log.Error().Err(err).Str("job", req.job.ID).Str("source", c.Source).Msg("cannot publish an HTTP submission")
		detail = "the queue does not answer, so the submission may or may not be accepted: repeat it with the same Idempotency-Key"
		setRetryAfter(w, natsTimeout)
	}

	s.metrics.submissions.WithLabelValues(c.Source, resultOf(kind)).Inc()
	writeProblem(w, status, kind, detail)
}
