package wildfire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"backburn/internal/backoff"
)

// Client calls one WildFire host with one credential. It is safe for concurrent use.
type Client struct {
	cfg      Config
	endpoint string // scheme, host and path, without a trailing slash
	tokens   TokenSource

	// transport is used without an http.Client, so that redirects are not followed: a redirect
	// would send the credentials and the sample elsewhere.
	transport http.RoundTripper
}

// New checks the configuration and builds a client. It opens no connection.
func New(cfg Config, tokens TokenSource) (*Client, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if tokens == nil {
		return nil, errors.New("wildfire: a TokenSource is required")
	}

	endpoint, err := cfg.endpoint()
	if err != nil {
		return nil, err
	}

	transport := cfg.Transport
	if transport == nil {
		if transport, err = NewTransport(cfg.Network); err != nil {
			return nil, err
		}
	}

	if cfg.UserAgent == "" {
		cfg.UserAgent = DefaultUserAgent
	}

	return &Client{cfg: cfg, endpoint: endpoint, tokens: tokens, transport: transport}, nil
}

// Close closes idle connections, including those of a shared transport. Calls in progress are not
// affected.
func (c *Client) Close() {
	if idle, ok := c.transport.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
}

// field is one form field. A multipart body has its fields in the order of the slice.
type field struct{ name, value string }

// payload is a request body that can be opened any number of times.
type payload struct {
	contentType string
	length      int64
	open        func() (io.ReadCloser, error)
	expect      bool // send "Expect: 100-continue"

	// mayRetry says whether an attempt that failed with this error may be repeated.
	mayRetry func(error) bool

	// failed returns the error from reading the body's source, or nil. The error explains a broken
	// request better than the transport's error does.
	failed func() error

	// sent reports whether the transport has read the whole body.
	sent func() bool

	// watch is called before each attempt. It gives the body the attempt's watchdog, to which the
	// body then reports progress.
	watch func(*watchdog)

	// abort closes the source of the body, which unblocks most stuck readers. It is set if reading
	// may block forever.
	abort func()
}

// apiCall is one operation, ready to be attempted.
type apiCall struct {
	op       Op
	path     string                             // below the endpoint; "": the operation is the path
	build    func([]field) (payload, error)     // returns the body; its argument has the credential's form fields
	sendTime time.Duration                      // time that sending may take on a slow line, for which the token must last
	stream   bool                               // the answer is read in pieces, each of which resets the watchdog
	public   bool                               // the call needs no credential
	handle   func(*http.Response, string) error // reads a successful answer; its second argument is the token
}

// do makes the call. It makes the call again in three cases: after a 401, with the next token; if
// the connection broke in the middle of a large body; and without "Expect: 100-continue", if the
// header was refused with 417.
func (c *Client) do(ctx context.Context, call apiCall) error {
	var refused, retried, withoutExpect bool
	for {
		token, err := c.token(ctx, call)
		if err != nil {
			return &APIError{Op: call.op, Err: err, kind: ErrToken}
		}

		body, err := call.build(c.credential(token, call))
		if err != nil {
			return &APIError{Op: call.op, Err: err, kind: ErrSource}
		}

		body.expect = body.expect && !withoutExpect
		status, err := c.attempt(ctx, call, body, token)
		switch {
		case status == http.StatusUnauthorized && !call.public:
			c.tokens.Rejected(token)
			if refused {
				return err
			}

			refused = true
		case succeeded(status) && !call.public:
			if credentialAccepted(err) {
				c.tokens.Accepted(token)
			}

			return err
		case status == http.StatusExpectationFailed && body.expect:
			withoutExpect = true // RFC 9110, section 10.1.1
		case err != nil && status == 0 && !retried && ctx.Err() == nil && body.mayRetry != nil && body.mayRetry(err):
			retried = true
		default:
			return err
		}
	}
}

// token returns a token for the call, or "" if the call needs none.
func (c *Client) token(ctx context.Context, call apiCall) (string, error) {
	if call.public {
		return "", nil
	}
	token, err := c.tokens.TokenFor(ctx, call.sendTime)
	if err == nil && token == "" {
		err = errors.New("the token source returned an empty token")
	}

	return token, err
}

// credential returns the form fields that belong to the credential. They must come first in a
// multipart body.
func (c *Client) credential(token string, call apiCall) []field {
	var fields []field
	if c.cfg.APIKey && !call.public {
		fields = append(fields, field{"apikey", token})
	}
	if c.cfg.Agent != "" && !call.public {
		fields = append(fields, field{"agent", c.cfg.Agent})
	}

	return fields
}

// attempt makes one request and passes a successful answer to call.handle. It returns the status,
// or 0 without an answer. It reads and closes the rest of the answer, so that the connection can be
// reused.
func (c *Client) attempt(parent context.Context, call apiCall, body payload, token string) (int, error) {
	dog := newWatchdog(parent, c.cfg.StallTimeout, c.cfg.AnswerTimeout)
	defer dog.stop()
	if body.watch != nil {
		body.watch(dog)
	} else {
		dog.awaitAnswer()
	}

	request, err := c.newRequest(dog.ctx, call, body, token)
	if err != nil {
		return 0, &APIError{Op: call.op, Err: err, kind: ErrSource}
	}

	response, err := c.roundTrip(dog, request, body) //nolint:bodyclose // drain does
	if err != nil {
		return 0, c.transportError(dog.ctx, call, body, err)
	}
	defer drain(response.Body)
	response.Body = dog.reader(response.Body, call.stream && succeeded(response.StatusCode))
	if succeeded(response.StatusCode) {
		err = call.handle(response, token)
	} else {
		err = c.statusError(call.op, response, token)
	}

	if failure, ok := errors.AsType[*APIError](err); ok && failure.ambiguous() {
		failure.MaybeDone = body.sent != nil && body.sent()
	}

	return response.StatusCode, err
}

// credentialAccepted reports whether WildFire accepted the credential of a call that was answered
// with a success status. err is the call's error. The credential counts as accepted unless the
// answer was not WildFire's, or broke off.
func credentialAccepted(err error) bool {
	failure, failed := errors.AsType[*APIError](err)

	return !failed || failure.Foreign == nil && !errors.Is(err, ErrTransport)
}

// abandonAfter is how long a canceled upload may take to end before it is abandoned.
const abandonAfter = time.Second

// roundTrip sends a request. net/http does not return from a canceled request before the body's
// reader returns. If the reader hangs, for example on a lost network file system, roundTrip closes
// it. If that does not help, roundTrip returns anyway, and the reader and its goroutine remain
// until the file system answers.
func (c *Client) roundTrip(dog *watchdog, request *http.Request, body payload) (*http.Response, error) {
	if body.abort == nil {
		return c.transport.RoundTrip(request)
	}

	type outcome struct {
		response *http.Response
		err      error
	}
	done := make(chan outcome, 1)
	go func() {
		response, err := c.transport.RoundTrip(request) //nolint:bodyclose // the receiver of the outcome closes it
		done <- outcome{response, err}
	}()
	select {
	case o := <-done:
		return o.response, o.err
	case <-dog.ctx.Done():
	}

	body.abort()
	abandon := time.NewTimer(abandonAfter)
	defer abandon.Stop()
	select {
	case o := <-done:
		if o.err == nil {
			return o.response, nil
		}
	case <-abandon.C:
		go func() {
			if o := <-done; o.response != nil {
				_ = o.response.Body.Close()
			}
		}()
	}

	return nil, context.Cause(dog.ctx) // the transport's error may only say that the body was closed
}

// newRequest returns the request of one attempt.
func (c *Client) newRequest(ctx context.Context, call apiCall, body payload, token string) (*http.Request, error) {
	path := call.path
	if path == "" {
		path = string(call.op)
	}

	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint+"/"+path, http.NoBody)
	if err != nil {
		return nil, err
	}

	request.Header.Set("User-Agent", c.cfg.UserAgent)
	request.Header.Set("Accept", "*/*")
	if !c.cfg.APIKey && !call.public {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	if body.open == nil {
		return request, nil
	}

	reader, err := body.open()
	if err != nil {
		return nil, err
	}

	request.Body = reader
	request.GetBody = body.open
	request.ContentLength = body.length
	request.Header.Set("Content-Type", body.contentType)
	if body.expect {
		request.Header.Set("Expect", "100-continue")
	}

	return request, nil
}

// transportError returns the error of a request that got no answer. The cause is the error of the
// body's source, of the watchdog or of the transport.
func (c *Client) transportError(ctx context.Context, call apiCall, body payload, err error) error {
	// If the attempt has ended, the reader was closed for that reason, and its error is not the
	// cause.
	if body.failed != nil && ctx.Err() == nil {
		if failure := body.failed(); failure != nil {
			kind := ErrSource
			if _, ok := errors.AsType[*ContentError](failure); ok {
				kind = ErrContentChanged
			}

			return &APIError{Op: call.op, Err: failure, kind: kind}
		}
	}

	failure := &APIError{Op: call.op, Err: cause(ctx, err), kind: ErrTransport}
	failure.MaybeDone = body.sent != nil && body.sent()
	if errors.Is(failure.Err, ErrStalled) {
		failure.kind = ErrStalled
	}

	return failure
}

// statusError returns the error for a status that is not a success, with the message of WildFire's
// error document, if there is one.
func (c *Client) statusError(op Op, response *http.Response, token string) error {
	answer, _ := readLimited(response.Body, maxErrorAnswer)
	var message string
	if root, err := parseXML(answer, maxTags); err == nil {
		message = sanitizeMessage(errorMessage(root), token)
	}

	return &APIError{
		Op:         op,
		Status:     response.StatusCode,
		Message:    message,
		RetryAfter: backoff.RetryAfter(response.Header.Get("Retry-After"), time.Now(), MaxRetryAfter),
		Foreign:    describeIfForeign(response, answer, token),
		kind:       classify(op, response.StatusCode, strings.ToLower(message)),
	}
}

// receiptError returns the error of a submission whose answer has a success status but no readable
// receipt. It returns nil if the answer is a WildFire document that is truncated or lacks fields,
// because WildFire has then accepted and counted the submission.
func receiptError(op Op, response *http.Response, token string, body []byte, err error) error {
	if _, refused := errors.AsType[errorDocument](err); !refused && isWildFireXML(body) {
		return nil
	}

	return answerError(op, response, token, body, err)
}

// answerError returns the error of a call whose answer has a success status but is not the expected
// document. body is the part of the answer that was read, and err says what was wrong with it.
func answerError(op Op, response *http.Response, token string, body []byte, err error) error {
	failure := &APIError{Op: op, Status: response.StatusCode, kind: ErrAnswer}
	if document, ok := errors.AsType[errorDocument](err); ok {
		failure.kind, failure.Message = ErrRejected, sanitizeMessage(document.message, token)
		return failure
	}

	_, brokeOff := errors.AsType[*readError](err)
	switch {
	case brokeOff:
		failure.kind, failure.Err = ErrTransport, err
		if errors.Is(err, ErrStalled) {
			failure.kind = ErrStalled
		}
	case errors.Is(err, errNoData) && op.maybeNotFound():
		failure.kind = ErrNotReady
	case errors.Is(err, ErrNoVerdict):
		failure.kind = ErrNoVerdict
	case !isWildFireDocument(body):
		failure.kind, failure.Foreign = ErrForeignAnswer, describeForeign(response, body, token)
	default:
		failure.Err = err
	}

	return failure
}

// fetch makes a call whose answer is a document of at most limit bytes, and parses it.
func fetch[T any](ctx context.Context, c *Client, call apiCall, limit int64, parse func(body []byte) (T, error)) (result T, err error) {
	call.handle = func(response *http.Response, token string) error {
		body, err := readLimited(response.Body, limit)
		if err == nil {
			result, err = parse(body)
		}
		switch {
		case err == nil:
			return nil
		case call.op.submits():
			return receiptError(call.op, response, token, body, err)
		}

		return answerError(call.op, response, token, body, err)
	}
	err = c.do(ctx, call)

	return result, err
}

// drain reads the rest of an answer, up to a limit, so that its connection can be reused.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, maxDrain)
	_ = body.Close()
}

// form returns a function that builds a small body of form fields: urlencoded, or multipart for the
// operations that require it.
func form(op Op, fields ...field) func([]field) (payload, error) {
	if op.submits() {
		return multipartForm(fields, "", "")
	}

	return func(credential []field) (payload, error) {
		values := url.Values{}
		for _, f := range append(credential, fields...) {
			values.Set(f.name, f.value)
		}

		return bufferedPayload("application/x-www-form-urlencoded", []byte(values.Encode())), nil
	}
}

// multipartForm returns a function that builds a multipart body of fields. If filename is set, the
// body also has a file with this name and text, in the part "file".
func multipartForm(fields []field, filename, text string) func([]field) (payload, error) {
	return func(credential []field) (payload, error) {
		var buffer bytes.Buffer
		form := multipart.NewWriter(&buffer)
		for _, f := range append(credential, fields...) {
			if err := form.WriteField(f.name, f.value); err != nil {
				return payload{}, err
			}
		}

		if filename != "" {
			part, err := form.CreateFormFile("file", filename)
			if err != nil {
				return payload{}, err
			}
			if _, err := io.WriteString(part, text); err != nil {
				return payload{}, err
			}
		}

		if err := form.Close(); err != nil {
			return payload{}, err
		}

		return bufferedPayload(form.FormDataContentType(), buffer.Bytes()), nil
	}
}

// bufferedPayload returns a payload whose body is in memory.
func bufferedPayload(contentType string, content []byte) payload {
	var allRead atomic.Bool
	return payload{
		contentType: contentType,
		length:      int64(len(content)),
		open: func() (io.ReadCloser, error) {
			allRead.Store(false)
			return &bufferedBody{content: content, allRead: &allRead}, nil
		},
		sent: allRead.Load,
	}
}

// bufferedBody sets allRead when it was read completely.
type bufferedBody struct {
	content []byte
	allRead *atomic.Bool
}

func (b *bufferedBody) Read(p []byte) (int, error) {
	n := copy(p, b.content)
	b.content = b.content[n:]
	if len(b.content) > 0 {
		return n, nil
	}
	b.allRead.Store(true)

	return n, io.EOF
}

func (*bufferedBody) Close() error { return nil }
