package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// errNoAnswer is the cause of a context that ended because NATS did not answer in time.
var errNoAnswer = fmt.Errorf("no answer within %s", natsTimeout)

// natsContext is a context that ends when NATS takes too long. The time that the client takes to
// send its body does not count.
type natsContext struct {
	context.Context //nolint:containedctx // it is a context itself
	timer           *time.Timer
	stop            context.CancelCauseFunc
}

func newNATSContext(ctx context.Context) *natsContext {
	ctx, stop := context.WithCancelCause(ctx)

	return &natsContext{Context: ctx, stop: stop, timer: time.AfterFunc(natsTimeout, func() { stop(errNoAnswer) })}
}

func (p *natsContext) release() {
	p.timer.Stop()
	p.stop(context.Canceled)
}

// bodyReader reads a body and extends the connection's deadlines while data arrives. It fails if
// the average rate falls below minBodyRate.
type bodyReader struct {
	r     io.Reader
	c     *http.ResponseController
	nats  *natsContext
	began time.Time
	n     int64 // bytes so far
}

func (s *bodyReader) Read(b []byte) (int, error) {
	s.nats.timer.Stop()
	defer s.nats.timer.Reset(natsTimeout)
	now := time.Now()
	deadline := now.Add(stallTimeout)
	if slowest := s.began.Add(stallTimeout + time.Duration(s.n/minBodyRate)*time.Second); slowest.Before(deadline) {
		deadline = slowest
	}

	_ = s.c.SetReadDeadline(deadline) // a test's recorder does not support deadlines
	_ = s.c.SetWriteDeadline(now.Add(stallTimeout + natsTimeout + responseTimeout))

	n, err := s.r.Read(b)
	s.n += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{err}
	}

	return n, err
}

// readError means that a body could not be read completely.
type readError struct{ err error }

func (e *readError) Error() string { return "read the body: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// maxFraming limits the bytes of multipart boundaries, headers and fields before the file, and
// those after it.
const maxFraming = 64 << 10

// formBoundary reports whether the body is multipart/form-data, and returns its boundary. It
// refuses a body that is neither such a form nor the file itself: an encoded file, a part of a
// file, and other or invalid multipart types, whose framing would become part of the file.
func formBoundary(r *http.Request) (boundary string, ok bool, err error) {
	if err := plainBody(r.Header.Values, ""); err != nil {
		return "", false, err
	}
	if r.Header.Get("Content-Range") != "" { // RFC 9110, 14.5
		return "", false, badRequest("Content-Range: send the whole file in one request")
	}

	types := r.Header.Values("Content-Type")
	if len(types) == 0 {
		return "", false, nil
	}
	if len(types) > 1 {
		return "", false, badRequest("Content-Type: send it once")
	}

	kind, params, err := mime.ParseMediaType(types[0])
	isForm := kind == "multipart/form-data"
	switch {
	case !mentionsForm(types[0]):
		return "", false, nil // the body is the file, whatever its type
	case err != nil:
		return "", false, badRequest("Content-Type: the parameters of multipart are invalid; quote a boundary that has characters other than letters and digits")
	case isForm && !validBoundary(params["boundary"]):
		return "", false, badRequest("multipart/form-data without a boundary of 1 to 70 characters")
	case isForm:
		return params["boundary"], true, nil
	}

	return "", false, unsupported("%s is not supported: send multipart/form-data, or the file as it is", kind)
}

// mentionsForm reports whether a media type is a multipart type, or was meant to be one.
func mentionsForm(mediaType string) bool {
	lower := strings.ToLower(mediaType)

	return strings.Contains(lower, "multipart") || strings.Contains(lower, "form-data")
}

// plainBody refuses a body, or a part of one, that would have to be decoded first. In the error,
// owner follows the name of the header.
func plainBody(values func(name string) []string, owner string) error {
	for _, name := range []string{"Content-Encoding", "Content-Transfer-Encoding"} {
		for _, v := range values(name) {
			switch strings.ToLower(strings.TrimSpace(v)) {
			case "identity", "binary", "8bit", "7bit":
			default:
				return unsupported("%s%s: only identity is supported; send the file as it is", name, owner)
			}
		}
	}

	return nil
}

// validBoundary checks a boundary by RFC 2046, section 5.1.1.
func validBoundary(b string) bool {
	return b != "" && len(b) <= 70 && !strings.HasSuffix(b, " ") && !strings.ContainsFunc(b, func(c rune) bool { return c < ' ' || c > '~' })
}

// boundedBody limits how many bytes of a multipart body are read. At the end of the data it returns
// a line break and then errTruncated instead of io.EOF. So the multipart reader returns io.EOF only
// after the final boundary, and not for a truncated body.
type boundedBody struct {
	r       io.Reader
	left    int64
	overErr error  // error for a longer body
	tail    []byte // rest of the line break
	ended   bool   // the body has ended
}

var errTruncated = &readError{io.ErrUnexpectedEOF}

func (e *boundedBody) Read(b []byte) (int, error) {
	if e.ended {
		n := copy(b, e.tail)
		if e.tail = e.tail[n:]; n == 0 {
			return 0, errTruncated
		}

		return n, nil
	}

	if e.left <= 0 {
		return 0, e.overErr
	}

	n, err := e.r.Read(b[:min(int64(len(b)), e.left)])
	e.left -= int64(n)
	if errors.Is(err, io.EOF) {
		e.ended = true
		e.tail = []byte("\r\n")
		err = nil
	}

	return n, err
}

// drain reads what follows the final boundary, and returns io.EOF at the end of the body. A body
// that is not read completely would delay the answer.
func (e *boundedBody) drain() error {
	_, err := io.Copy(io.Discard, e)
	if e.ended {
		return io.EOF
	}

	return err
}

func (e *boundedBody) setLimit(n int64, over error) { e.left, e.overErr = n, over }

var errTooMuchFraming = badRequest("multipart/form-data may have at most %d bytes before the file, and after it", maxFraming)

// filePart is the only file of a multipart body. Its Read returns io.EOF only after the end of the
// body.
type filePart struct {
	body    *boundedBody
	parts   *multipart.Reader
	file    *multipart.Part
	lastErr error // the last result of Read
}

// openForm finds the file of a multipart body. A job without a filename gets that of the file.
func openForm(body io.Reader, boundary string, limit int64, j *pipeline.Job) (io.Reader, error) {
	e := &boundedBody{r: body}
	e.setLimit(maxFraming, errTooMuchFraming)
	f := &filePart{body: e, parts: multipart.NewReader(e, boundary)}
	part, err := f.next()
	switch {
	case errors.Is(err, io.EOF):
		return nil, badRequest("this multipart/form-data has no file")
	case err != nil:
		return nil, err
	}

	if err := plainBody(http.Header(part.Header).Values, " of the file"); err != nil {
		return nil, err
	}
	if kind, params, _ := mime.ParseMediaType(part.Header.Get("Content-Type")); strings.HasPrefix(kind, "multipart/") && params["boundary"] != "" {
		return nil, unsupported("the file of this multipart/form-data is a %s itself: send the file as it is", kind)
	}

	f.file = part
	if j.Filename == "" {
		j.Filename, j.FilenameB64 = pipeline.EncodeName(pipeline.BaseName(part.FileName()))
	}

	e.setLimit(limit+maxFraming, queue.ErrTooLarge)

	return f, nil
}

// next returns the next part that is a file, or io.EOF. It skips text fields and parts without
// contents, which browsers send if no file was chosen. It refuses fields that were meant as
// parameters, and all other parts, because they may be another file.
func (f *filePart) next() (*multipart.Part, error) {
	for {
		// NextPart would decode quoted-printable.
		p, err := f.parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil, io.EOF
		}
		if err != nil {
			return nil, partError(err)
		}
		if p.FileName() != "" {
			return p, nil
		}
		if isTextField(p.Header) {
			if isParameter(p.FormName()) {
				return nil, badRequest("the field %q of this multipart/form-data would have no effect: parameters belong in the query and in headers", p.FormName())
			}
			continue
		}

		n, err := io.ReadFull(p, make([]byte, 1))
		switch {
		case n > 0:
			return nil, badRequest("the part %q of this multipart/form-data is neither a text field nor a file with a valid name: send only the file", p.FormName())
		case !errors.Is(err, io.EOF):
			return nil, partError(err)
		}
	}
}

// isTextField reports whether a part is certainly not a file: it has a name and no file name, and
// its type, if stated, is plain text (RFC 7578, section 4).
func isTextField(h textproto.MIMEHeader) bool {
	disposition, params, err := mime.ParseMediaType(h.Get("Content-Disposition"))
	_, hasFileName := params["filename"]
	if err != nil || disposition != "form-data" || params["name"] == "" || hasFileName {
		return false
	}

	kind, _, err := mime.ParseMediaType(cmp.Or(h.Get("Content-Type"), "text/plain"))

	return err == nil && kind == "text/plain"
}

// isParameter reports whether a field has the name of a parameter of a submission.
func isParameter(field string) bool {
	field = strings.ToLower(field)

	return strings.HasPrefix(field, "backburn-") ||
		slices.Contains([]string{"filename", "path", "url", "wait", "submit", "priority", "idempotency-key"}, field)
}

// Read returns io.EOF once the whole body was read and contained no other file.
func (f *filePart) Read(b []byte) (int, error) {
	if f.lastErr != nil {
		return 0, f.lastErr
	}

	n, err := f.file.Read(b)
	switch {
	case errors.Is(err, io.EOF):
		f.body.setLimit(maxFraming, errTooMuchFraming)
		_, err = f.next()
		switch {
		case err == nil:
			err = badRequest("send one file per request: this multipart/form-data has more")
		case errors.Is(err, io.EOF):
			err = f.body.drain()
		}
	case err != nil:
		err = partError(err)
	}

	f.lastErr = err

	return n, err
}

// partError distinguishes a truncated or oversized body from one that is not multipart.
func partError(err error) error {
	var (
		read *readError
		f    *fault
	)
	switch {
	case errors.As(err, &read), errors.As(err, &f), errors.Is(err, queue.ErrTooLarge):
		return err
	}

	return badRequest("the multipart/form-data is invalid")
}
