package wildfire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

const contents = "MZ contents of a file"

func TestSubmitFileReturnsTheReceipt(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New(wildfiretest.WithDelay(0))
	client, _ := start(t, server)

	var last, total int64
	progress := wildfire.WithProgress(func(s, n int64) { last, total = s, n })
	got, err := client.SubmitFile(t.Context(), file("malware.exe", contents), progress)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(receiptFor("malware.exe"), got); diff != "" {
		t.Errorf("submission (-want +got):\n%s", diff)
	}
	if size := int64(len(contents)); last != size || total != size {
		t.Errorf("progress ended at %d of %d, want %d of it", last, total, size)
	}

	record, err := client.Verdict(t.Context(), got.SHA256)
	if err != nil {
		t.Fatal(err)
	}

	want := wildfire.VerdictRecord{SHA256: got.SHA256, MD5: got.MD5, Verdict: wildfire.Malware, HasVerdict: true}
	if diff := cmp.Diff(want, record); diff != "" {
		t.Errorf("verdict (-want +got):\n%s", diff)
	}

	uploads := server.Uploads(got.SHA256)
	if len(uploads) != 1 || uploads[0].Token != "token" {
		t.Errorf("uploads %+v, want one with the client's token", uploads)
	}
}

func receiptFor(name string) wildfire.Submission {
	return wildfire.Submission{
		Filetype: "PE32 executable", Filename: name,
		SHA256: sha256Of(contents), MD5: md5Of(contents), Size: int64(len(contents)),
	}
}

// TestReceiptIsReadInEachForm reads a receipt in every known format.
func TestReceiptIsReadInEachForm(t *testing.T) {
	t.Parallel()
	sure := func(s *wildfire.Submission) {}
	uncertain := func(s *wildfire.Submission) { s.Uncertain, s.Filetype = true, "" }
	tests := map[string]struct {
		style wildfiretest.Style
		want  func(*wildfire.Submission)
	}{
		"usual":                {0, sure},
		"one line":             {wildfiretest.OneLine, sure},
		"no declaration":       {wildfiretest.NoDeclaration, sure},
		"spaced declaration":   {wildfiretest.SpacedDeclaration, sure},
		"blank lines in front": {wildfiretest.LeadingBlankLines, sure},
		"reordered":            {wildfiretest.Reordered, sure},
		"self-closed url":      {wildfiretest.SelfClosedURL, sure},
		"no url":               {wildfiretest.MissingURL, sure},
		"no file name":         {wildfiretest.MissingFilename, func(s *wildfire.Submission) { s.Filename = "" }},
		"no MD5":               {wildfiretest.MissingMD5, sure},
		"upper case":           {wildfiretest.UpperCaseHashes, sure},
		"bare ampersand":       {wildfiretest.RawFilename, func(s *wildfire.Submission) { s.Filename = "R&D a.exe" }},
		"control characters":   {wildfiretest.ControlCharacter, func(s *wildfire.Submission) { s.Filename = "a.exe??" }},
		"not UTF-8":            {wildfiretest.InvalidUTF8, func(s *wildfire.Submission) { s.Filename = "a.exe?" }},
		"Latin-1":              {wildfiretest.Latin1Declared, func(s *wildfire.Submission) { s.Filename = "a.exeé" }},
		"unknown encoding":     {wildfiretest.UnknownEncoding, sure},
		"no content type":      {wildfiretest.NoContentType, sure},
		"application/xml":      {wildfiretest.ApplicationXML, sure},
		"chunked":              {wildfiretest.Chunked, sure},
		"no SHA-256":           {wildfiretest.MissingSHA256, uncertain},
		"truncated":            {wildfiretest.Truncated, uncertain},
		"document type":        {wildfiretest.WithDTD, uncertain},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, _ := start(t, wildfiretest.New(wildfiretest.WithStyle(tt.style)))
			got, err := client.SubmitFile(t.Context(), file("a.exe", contents))
			if err != nil {
				t.Fatal(err)
			}

			want := receiptFor("a.exe")
			tt.want(&want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("submission (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrorDocumentWithASuccessStatusIsARejection(t *testing.T) {
	t.Parallel()
	client, _ := start(t, wildfiretest.New(wildfiretest.WithStyle(wildfiretest.Error200)))
	if _, err := client.SubmitFile(t.Context(), file("a.exe", contents)); !errors.Is(err, wildfire.ErrRejected) {
		t.Errorf("got %v, want ErrRejected", err)
	}
}

func TestReceiptForOtherContentsIsAMismatch(t *testing.T) {
	t.Parallel()
	client, _ := start(t, wildfiretest.New(wildfiretest.WithStyle(wildfiretest.WrongSHA256)))
	got, err := client.SubmitFile(t.Context(), file("a.exe", contents))
	if !errors.Is(err, wildfire.ErrContentChanged) || !errors.Is(err, wildfire.ErrAnswerMismatch) {
		t.Fatalf("got %v, want ErrAnswerMismatch and ErrContentChanged", err)
	}
	var mismatch *wildfire.ContentError
	if !errors.As(err, &mismatch) || mismatch.Sent != sha256Of(contents) || mismatch.Answered == "" || mismatch.Answered == mismatch.Sent {
		t.Errorf("got %+v, want both digests", mismatch)
	}
	if got.SHA256 != sha256Of(contents) || !got.Uncertain {
		t.Errorf("got %+v, want our own digest along with the error", got)
	}
}

// TestChangedFileIsNotSubmitted: if the contents differ from the fields of File, nothing is
// submitted.
func TestChangedFileIsNotSubmitted(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		change func(*wildfire.File)
		detail string
	}{
		"shorter":       {func(f *wildfire.File) { f.Size++ }, "ended after"},
		"longer":        {func(f *wildfire.File) { f.Size-- }, "longer than"},
		"other content": {func(f *wildfire.File) { f.SHA256 = sha256Of("something else") }, "SHA-256"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := wildfiretest.New()
			client, _ := start(t, server)
			changed := file("a.exe", contents)
			tt.change(&changed)
			_, err := client.SubmitFile(t.Context(), changed)
			if !errors.Is(err, wildfire.ErrContentChanged) || errors.Is(err, wildfire.ErrAnswerMismatch) {
				t.Errorf("got %v, want ErrContentChanged of the source", err)
			}
			if !strings.Contains(err.Error(), tt.detail) {
				t.Errorf("got %v, want it to say %q", err, tt.detail)
			}
			if n := server.UploadCount(sha256Of(contents)); n != 0 {
				t.Errorf("%d uploads were counted, want none", n)
			}
		})
	}
}

func TestFileWithTheExpectedHashIsSubmitted(t *testing.T) {
	t.Parallel()
	client, _ := start(t, wildfiretest.New())
	expected := file("a.exe", contents)
	expected.SHA256 = strings.ToUpper(sha256Of(contents))
	if _, err := client.SubmitFile(t.Context(), expected); err != nil {
		t.Error(err)
	}
}

// TestSubmitFileRefusedLocally sends nothing.
func TestSubmitFileRefusedLocally(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		file wildfire.File
		want error
	}{
		"empty":     {file("a.exe", ""), wildfire.ErrEmptyFile},
		"oversize":  {wildfire.File{Name: "a", Size: 101, Open: file("", "").Open}, wildfire.ErrTooLarge},
		"negative":  {wildfire.File{Name: "a", Size: -1, Open: file("", "").Open}, wildfire.ErrInvalidArgument},
		"no Open":   {wildfire.File{Name: "a", Size: 1}, wildfire.ErrInvalidArgument},
		"no SHA256": {wildfire.File{Name: "a", Size: 1, SHA256: md5Of("x"), Open: file("", "x").Open}, wildfire.ErrInvalidArgument},
		"unopened": {wildfire.File{Name: "a", Size: 1, Open: func() (io.ReadCloser, error) {
			return nil, errors.New("gone")
		}}, wildfire.ErrSource},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := wildfiretest.New()
			client, _ := start(t, server, func(c *wildfire.Config) { c.MaxFileSize = 100 })
			if _, err := client.SubmitFile(t.Context(), tt.file); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if n := server.Count(""); n != 0 {
				t.Errorf("%d calls were made", n)
			}
		})
	}
}

func TestFileOfExactlyTheLimitIsSubmitted(t *testing.T) {
	t.Parallel()
	client, _ := start(t, wildfiretest.New(), func(c *wildfire.Config) { c.MaxFileSize = int64(len(contents)) })
	if _, err := client.SubmitFile(t.Context(), file("a.exe", contents)); err != nil {
		t.Error(err)
	}
}

func TestReadErrorEndsTheUpload(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	server := wildfiretest.New()
	client, _ := start(t, server)
	f := file("a.exe", contents)
	f.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(contents[:5]), &failing{broken})), nil
	}
	_, err := client.SubmitFile(t.Context(), f)
	if !errors.Is(err, wildfire.ErrSource) || !errors.Is(err, broken) {
		t.Errorf("got %v, want ErrSource around the reader's error", err)
	}
	if n := server.UploadCount(sha256Of(contents)); n != 0 {
		t.Errorf("%d uploads were counted, want none", n)
	}
}

type failing struct{ err error }

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func TestReaderWithoutProgressEndsTheUpload(t *testing.T) {
	t.Parallel()
	client, _ := start(t, wildfiretest.New())
	f := file("a.exe", contents)
	f.Open = func() (io.ReadCloser, error) { return io.NopCloser(&failing{nil}), nil }
	if _, err := client.SubmitFile(t.Context(), f); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want io.ErrNoProgress", err)
	}
}

// TestContentsAreClosed counts opened and closed contents in a success, a refusal, a repetition and
// a broken source.
func TestContentsAreClosed(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New()
	client, _ := start(t, server)
	remove := server.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Times: 1, Fault: wildfiretest.Fault{Status: 401}})
	defer remove()
	var opened, closed atomic.Int64
	for _, name := range []string{"a.exe", "unsupported.txt", "unstorable.exe", "garbled.exe"} {
		f := file(name, contents+name)
		inner := f.Open
		f.Open = func() (io.ReadCloser, error) {
			opened.Add(1)
			r, err := inner()

			return &closing{r, &closed}, err
		}
		_, _ = client.SubmitFile(t.Context(), f)
	}

	if o, c := opened.Load(), closed.Load(); o != 5 || c != o {
		t.Errorf("opened %d, closed %d; want 5 of both", o, c)
	}
}

type closing struct {
	io.ReadCloser
	closed *atomic.Int64
}

func (c *closing) Close() error { c.closed.Add(1); return c.ReadCloser.Close() }

// rotating is a TokenSource that returns the next token after a rejection.
type rotating struct {
	mu       sync.Mutex
	tokens   []string
	accepted []string
	rejected []string
	needed   []time.Duration
}

func (r *rotating) TokenFor(_ context.Context, d time.Duration) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.needed = append(r.needed, d)

	return r.tokens[0], nil
}

func (r *rotating) Accepted(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted = append(r.accepted, token)
}

func (r *rotating) Rejected(token string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rejected = append(r.rejected, token)
	if r.tokens[0] == token && len(r.tokens) > 1 {
		r.tokens = r.tokens[1:]
	}
}

// TestUnauthorizedIsRepeatedOnce checks that every operation is repeated once after a 401, with the
// source's next token.
func TestUnauthorizedIsRepeatedOnce(t *testing.T) {
	t.Parallel()
	for _, body := range []wildfiretest.Body{wildfiretest.XMLBody, wildfiretest.EmptyBody, wildfiretest.HTMLBody, wildfiretest.JSONBody} {
		server := wildfiretest.New(wildfiretest.WithToken("new"), wildfiretest.WithDelay(0))
		web := server.Start()
		t.Cleanup(web.Close)
		server.Inject(wildfiretest.Rule{Token: "old", Fault: wildfiretest.Fault{Status: 401, Body: body}})

		tokens := &rotating{tokens: []string{"old", "new"}}
		c := client(t, web.URL, tokens)
		if _, err := c.SubmitFile(t.Context(), file("a.exe", contents)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"old"}, tokens.rejected); diff != "" {
			t.Errorf("rejected (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{"new"}, tokens.accepted); diff != "" {
			t.Errorf("accepted (-want +got):\n%s", diff)
		}
		if n := server.UploadCount(sha256Of(contents)); n != 1 {
			t.Errorf("%d uploads were counted, want 1", n)
		}
		if n := server.Count(wildfire.OpSubmitFile); n != 2 {
			t.Errorf("%d calls, want 2", n)
		}
	}
}

func TestSecondUnauthorizedIsAnError(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New(wildfiretest.WithToken("another"))
	web := server.Start()
	t.Cleanup(web.Close)
	for op, call := range callOf {
		if op == wildfire.OpTestFile {
			continue
		}

		tokens := &rotating{tokens: []string{"old", "older"}}
		c := client(t, web.URL, tokens)
		before := server.Count(op)
		if err := call(t.Context(), c); !errors.Is(err, wildfire.ErrUnauthorized) {
			t.Errorf("%s: got %v, want ErrUnauthorized", op, err)
		}
		if diff := cmp.Diff([]string{"old", "older"}, tokens.rejected); diff != "" {
			t.Errorf("%s: rejected (-want +got):\n%s", op, diff)
		}
		if len(tokens.accepted) != 0 {
			t.Errorf("%s: accepted %q", op, tokens.accepted)
		}
		if n := server.Count(op) - before; n != 2 {
			t.Errorf("%s: %d calls, want 2", op, n)
		}
	}
}

func TestTokenFailureIsReported(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New()
	web := server.Start()
	t.Cleanup(web.Close)
	broken := errors.New("no token today")
	c := client(t, web.URL, noToken{broken})
	_, err := c.Verdict(t.Context(), anyHash)
	if !errors.Is(err, wildfire.ErrToken) || !errors.Is(err, broken) {
		t.Errorf("got %v, want ErrToken around the source's error", err)
	}
	if n := server.Count(""); n != 0 {
		t.Errorf("%d calls were made without a token", n)
	}
	if _, err := client(t, web.URL, wildfire.StaticToken("")).Verdict(t.Context(), anyHash); !errors.Is(err, wildfire.ErrToken) {
		t.Errorf("empty token: got %v, want ErrToken", err)
	}
	if _, err := c.TestFile(t.Context(), wildfire.TestELF, io.Discard); err != nil {
		t.Errorf("test files need no token, got %v", err)
	}
}

type noToken struct{ err error }

func (n noToken) TokenFor(context.Context, time.Duration) (string, error) { return "", n.err }
func (noToken) Accepted(string)                                           {}
func (noToken) Rejected(string)                                           {}

// TestTokenLastsForTheUpload: the token must last for a large upload on a slow line.
func TestTokenLastsForTheUpload(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New()
	web := server.Start()
	t.Cleanup(web.Close)
	tokens := &rotating{tokens: []string{"t"}}
	c := client(t, web.URL, tokens)
	for _, f := range []wildfire.File{file("small.exe", contents), zeroFile(16 << 20)} {
		if _, err := c.SubmitFile(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	if len(tokens.needed) != 2 || tokens.needed[0] != 0 || tokens.needed[1] < time.Minute {
		t.Errorf("tokens for %v, want one for no time and one for a minute or more", tokens.needed)
	}
}

// TestAPIKeyIsSentInTheForm sends the legacy key in the form, before the file, and no header.
func TestAPIKeyIsSentInTheForm(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New(wildfiretest.WithAPIKey("the-key"), wildfiretest.WithDelay(0))
	web := server.Start()
	t.Cleanup(web.Close)
	c := client(t, web.URL, wildfire.StaticToken("the-key"), func(cfg *wildfire.Config) { cfg.APIKey, cfg.Agent = true, "pcc" })
	for op, call := range callOf {
		if err := call(t.Context(), c); errors.Is(err, wildfire.ErrUnauthorized) {
			t.Errorf("%s: %v", op, err)
		}
	}

	for _, call := range server.Calls() {
		if call.Op != wildfire.OpTestFile && call.Token != "the-key" {
			t.Errorf("%s came with %q, want the key", call.Op, call.Token)
		}
	}

	transport := &capturing{}
	c = client(t, "https://wildfire.example.test", wildfire.StaticToken("the-key"), func(cfg *wildfire.Config) {
		cfg.APIKey = true
		cfg.Agent = "pcc"
		cfg.Transport = transport
	})
	_, _ = c.SubmitFile(t.Context(), file("a.exe", contents))
	key := bytes.Index(transport.body, []byte("the-key"))
	agent := bytes.Index(transport.body, []byte("pcc"))
	contentsAt := bytes.Index(transport.body, []byte(contents))
	if key < 0 || agent < key || contentsAt < agent {
		t.Errorf("key at %d, agent at %d, contents at %d; want them in this order", key, agent, contentsAt)
	}
	if transport.request.Header.Get("Authorization") != "" || strings.Contains(transport.request.URL.String(), "the-key") {
		t.Error("the key is in a header or the URL")
	}
	if int64(len(transport.body)) != transport.request.ContentLength {
		t.Errorf("body of %d bytes, announced %d", len(transport.body), transport.request.ContentLength)
	}
}

// capturing is a transport that records the request.
type capturing struct {
	request *http.Request
	body    []byte
}

func (c *capturing) RoundTrip(r *http.Request) (*http.Response, error) {
	c.request = r
	if r.Body != nil {
		c.body, _ = io.ReadAll(r.Body)
	}
	return nil, errors.New("captured")
}

func TestTokenIsSentAsBearer(t *testing.T) {
	t.Parallel()
	transport := &capturing{}
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("the-token"), func(cfg *wildfire.Config) {
		cfg.Transport = transport
		cfg.Agent = ""
		cfg.UserAgent = "me/1"
	})
	_, err := c.SubmitFile(t.Context(), file("a.exe", contents))
	if got := transport.request.Header.Get("Authorization"); got != "Bearer the-token" {
		t.Errorf("Authorization %q", got)
	}
	if bytes.Contains(transport.body, []byte("the-token")) || bytes.Contains(transport.body, []byte("apikey")) {
		t.Error("the token is in the body")
	}
	if got := transport.request.UserAgent(); got != "me/1" {
		t.Errorf("User-Agent %q", got)
	}
	if got := transport.request.URL.String(); got != "https://wildfire.example.test/publicapi/submit/file" {
		t.Errorf("URL %q", got)
	}
	if !errors.Is(err, wildfire.ErrTransport) || strings.Contains(err.Error(), "the-token") || strings.Contains(err.Error(), "https:") {
		t.Errorf("got %v, want ErrTransport without URL or token", err)
	}

	var api *wildfire.APIError
	if !errors.As(err, &api) || !api.MaybeDone {
		t.Errorf("got %+v, want MaybeDone: the whole body was read", api)
	}
}

// TestUnansweredSubmissionIsNotRepeated: without an answer, the error says that the file may have
// arrived, and it is not sent again.
func TestUnansweredSubmissionIsNotRepeated(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New()
	client, _ := start(t, server)
	_, err := client.SubmitFile(t.Context(), file("unanswered.exe", contents))
	var api *wildfire.APIError
	if !errors.Is(err, wildfire.ErrTransport) || !errors.As(err, &api) || !api.MaybeDone {
		t.Errorf("got %v, want ErrTransport that may be done", err)
	}
	if n := server.UploadCount(sha256Of(contents)); n != 1 {
		t.Errorf("%d uploads were counted, want 1", n)
	}

	large := strings.Repeat("0123456789abcdef", 1<<17)
	if _, err := client.SubmitFile(t.Context(), file("unanswered.exe", large)); !errors.As(err, &api) || !api.MaybeDone {
		t.Errorf("large: got %v, want one that may be done", err)
	}
	if n := server.Count(wildfire.OpSubmitFile); n != 2 {
		t.Errorf("%d calls, want one for each file", n)
	}
}

// TestEarlyAnswerEndsTheUpload: an answer arrives while the file is still being sent. Once
// SubmitFile returns, the file is closed and no progress is reported.
func TestEarlyAnswerEndsTheUpload(t *testing.T) {
	t.Parallel()
	var body io.Reader
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			body = r.Body
			return &http.Response{StatusCode: 413, Header: http.Header{}, Request: r, Body: http.NoBody}, nil
		})
	})
	var closed atomic.Int64
	f := file("a.exe", contents)
	inner := f.Open
	f.Open = func() (io.ReadCloser, error) {
		r, err := inner()
		return &closing{r, &closed}, err
	}
	over := false
	_, err := c.SubmitFile(t.Context(), f, wildfire.WithProgress(func(int64, int64) {
		if over {
			t.Error("progress was reported after SubmitFile returned")
		}
	}))
	over = true
	if !errors.Is(err, wildfire.ErrTooLarge) || closed.Load() != 1 {
		t.Errorf("got %v, closed %d times", err, closed.Load())
	}
	if n, err := io.Copy(io.Discard, body); err == nil {
		t.Errorf("the transport read %d more bytes", n)
	}
}

// TestEarlySuccessDoesNotWaitForABlockedFile: the answer arrives while the file is being read, and
// only closing the file unblocks the reader.
func TestEarlySuccessDoesNotWaitForABlockedFile(t *testing.T) {
	t.Parallel()
	reader, writer := io.Pipe()
	defer writer.Close()
	reading := make(chan struct{})
	sending := make(chan struct{})
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			go func() { defer close(sending); _, _ = io.Copy(io.Discard, r.Body) }()
			<-reading

			return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: http.NoBody}, nil
		})
	})
	f := file("a.exe", contents)
	f.Open = func() (io.ReadCloser, error) { return &announcing{ReadCloser: reader, began: reading}, nil }
	if _, err := c.SubmitFile(t.Context(), f); !errors.Is(err, wildfire.ErrForeignAnswer) {
		t.Errorf("got %v, want ErrForeignAnswer", err)
	}
	<-sending
}

// announcing closes began when it is first read.
type announcing struct {
	io.ReadCloser
	began chan struct{}
	once  sync.Once
}

func (a *announcing) Read(p []byte) (int, error) {
	a.once.Do(func() { close(a.began) })
	return a.ReadCloser.Read(p)
}

// TestBodyClosedWhileReadIsNoFaultOfTheFile: HTTP/2 closes a body when its stream ends. That does
// not count as a fault of the file.
func TestBodyClosedWhileReadIsNoFaultOfTheFile(t *testing.T) {
	t.Parallel()
	reset := errors.New("stream reset")
	reading := make(chan struct{})
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			ended := make(chan struct{})
			go func() { _, _ = io.Copy(io.Discard, r.Body); close(ended) }()
			<-reading
			_ = r.Body.Close()
			<-ended

			return nil, reset
		})
	})
	f := file("a.exe", contents)
	reader, _ := io.Pipe()
	f.Open = func() (io.ReadCloser, error) { return &signalling{PipeReader: reader, reading: reading}, nil }
	_, err := c.SubmitFile(t.Context(), f)
	if !errors.Is(err, wildfire.ErrTransport) || !errors.Is(err, reset) || errors.Is(err, wildfire.ErrSource) {
		t.Errorf("got %v, want ErrTransport", err)
	}
}

// signalling signals its first Read.
type signalling struct {
	*io.PipeReader
	reading chan struct{}
	once    sync.Once
}

func (s *signalling) Read(p []byte) (int, error) {
	s.once.Do(func() { close(s.reading) })
	return s.PipeReader.Read(p)
}

// TestReceiptThatBreaksOffIsASubmission: the status was read, so the file counts as submitted.
func TestReceiptThatBreaksOffIsASubmission(t *testing.T) {
	t.Parallel()
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()

			return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(io.MultiReader(
				strings.NewReader("<wildfire><upload-file-info>"), &failing{io.ErrUnexpectedEOF}))}, nil
		})
	})
	got, err := c.SubmitFile(t.Context(), file("a.exe", contents))
	if err != nil || !got.Uncertain || got.SHA256 != sha256Of(contents) {
		t.Errorf("got %+v, %v; want an uncertain submission", got, err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestReceiptIsFoundAmongOthers finds the right receipt by its SHA-256.
func TestReceiptIsFoundAmongOthers(t *testing.T) {
	t.Parallel()
	one := func(sha string) string { return "<upload-file-info><sha256>" + sha + "</sha256></upload-file-info>" }
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = &answering{status: 200, body: "<wildfire>" + one(sha256Of("other")) + one(sha256Of(contents)) + "</wildfire>"}
	})
	got, err := c.SubmitFile(t.Context(), file("a.exe", contents))
	if err != nil || got.SHA256 != sha256Of(contents) || got.Uncertain {
		t.Errorf("got %+v, %v; want our own receipt", got, err)
	}
}

// TestFiletypeOfTheReceiptIsBounded: it is text of the other side, and ends up in events.
func TestFiletypeOfTheReceiptIsBounded(t *testing.T) {
	t.Parallel()
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = &answering{status: 200, body: "<wildfire><upload-file-info><sha256>" + sha256Of(contents) +
			"</sha256><filetype>PE\n\x7f" + strings.Repeat("x", 1000) + "</filetype></upload-file-info></wildfire>"}
	})
	got, err := c.SubmitFile(t.Context(), file("a.exe", contents))
	if err != nil || len(got.Filetype) != 200 || !strings.HasPrefix(got.Filetype, "PE ?xx") {
		t.Errorf("got %q, %v; want 200 bytes of printable ASCII", got.Filetype, err)
	}
}

// TestLargeUploadIsSentAgainOnce: the connection breaks in the middle of the body.
func TestLargeUploadIsSentAgainOnce(t *testing.T) {
	t.Parallel()
	const large = 64 << 20 // more than the sockets' buffers hold, so that the reset comes before the body is sent
	for _, tt := range []struct {
		name  string
		size  int64
		times int
		calls int
		fails bool
	}{
		{"once", 1 << 20, 1, 2, false},
		{"twice", 1 << 20, 2, 2, true},
		{"small", 1 << 30, 1, 1, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := wildfiretest.New()
			client, _ := start(t, server, func(c *wildfire.Config) { c.ExpectContinue = tt.size })
			server.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Times: tt.times, Fault: wildfiretest.Fault{Reset: true, ResetAfter: 64 << 10}})
			_, err := client.SubmitFile(t.Context(), zeroFile(large))
			if (err != nil) != tt.fails {
				t.Errorf("got %v", err)
			}
			if tt.fails && !errors.Is(err, wildfire.ErrTransport) {
				t.Errorf("got %v, want ErrTransport", err)
			}

			var api *wildfire.APIError
			if errors.As(err, &api) && api.MaybeDone {
				t.Error("MaybeDone, although the body was not sent completely")
			}
			if n := server.Count(wildfire.OpSubmitFile); n != tt.calls {
				t.Errorf("%d calls, want %d", n, tt.calls)
			}
		})
	}
}

// TestEarlyRefusalOfLargeUpload: without "100 Continue" the refusal is read, and the contents are
// not sent.
func TestEarlyRefusalOfLargeUpload(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("0123456789abcdef", 1<<18)
	for status, want := range map[int]error{401: wildfire.ErrUnauthorized, 413: wildfire.ErrTooLarge, 419: wildfire.ErrUploadQuota} {
		for _, early := range []bool{true, false} {
			server := wildfiretest.New()
			client, _ := start(t, server, func(c *wildfire.Config) { c.Network.ContinueTimeout = time.Hour })
			server.Inject(wildfiretest.Rule{Fault: wildfiretest.Fault{Status: status, Early: early}})
			f := file("a.exe", large)
			var read atomic.Int64
			inner := f.Open
			f.Open = func() (io.ReadCloser, error) {
				r, err := inner()
				return &counting{r, &read}, err
			}
			if _, err := client.SubmitFile(t.Context(), f); !errors.Is(err, want) {
				t.Errorf("%d: got %v, want %v", status, err, want)
			}
			if n := read.Load(); n != 0 {
				t.Errorf("%d: %d bytes of the file were read", status, n)
			}
		}
	}
}

// TestUploadThroughAProxyWithoutExpectContinue: an upload whose "Expect: 100-continue" is answered
// 417 is sent once without that header.
func TestUploadThroughAProxyWithoutExpectContinue(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" {
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		server.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	large := strings.Repeat("0123456789abcdef", 1<<17)
	if _, err := client(t, proxy.URL, wildfire.StaticToken("t")).SubmitFile(t.Context(), file("a.exe", large)); err != nil {
		t.Error(err)
	}
	if n := server.UploadCount(sha256Of(large)); n != 1 {
		t.Errorf("%d uploads were counted, want 1", n)
	}
}

type counting struct {
	io.ReadCloser
	read *atomic.Int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read.Add(int64(n))
	return n, err
}

func TestSubmitURL(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New(wildfiretest.WithDelay(0))
	client, _ := start(t, server)
	got, err := client.SubmitURL(t.Context(), "https://example.test/dir/x", "script.js")
	if err != nil {
		t.Fatal(err)
	}
	if got.URL != "https://example.test/dir/x" || got.Filename != "" || got.Filetype != "Jscript for WSH" || len(got.SHA256) != 64 || got.Uncertain {
		t.Errorf("got %+v", got)
	}

	server.SetStyle(wildfiretest.Truncated)
	if got, err = client.SubmitURL(t.Context(), "https://example.test/y", ""); err != nil || !got.Uncertain || got.URL == "" {
		t.Errorf("got %+v, %v; want an uncertain submission", got, err)
	}

	for _, bad := range []string{"", "  ", "ftp://example.test/x", "http://a\nb"} {
		if _, err := client.SubmitURL(t.Context(), bad, ""); !errors.Is(err, wildfire.ErrInvalidArgument) {
			t.Errorf("%q: got %v, want ErrInvalidArgument", bad, err)
		}
	}
}

func TestSubmitLink(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New(wildfiretest.WithDelay(0))
	client, _ := start(t, server)
	got, err := client.SubmitLink(t.Context(), "phishing.example.test/login")
	want := wildfire.LinkSubmission{
		URL:    "http://phishing.example.test/login",
		SHA256: sha256Of("http://phishing.example.test/login"), MD5: md5Of("http://phishing.example.test/login"),
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}

	record, err := client.URLVerdict(t.Context(), got.URL)
	if err != nil || record.Verdict != wildfire.Phishing || record.Valid != "Yes" || record.AnalysisTime.IsZero() {
		t.Errorf("got %+v, %v", record, err)
	}
	if _, err := client.SubmitLink(t.Context(), "sftp://example.test"); !errors.Is(err, wildfire.ErrInvalidArgument) {
		t.Errorf("got %v, want ErrInvalidArgument", err)
	}

	server.SetStyle(wildfiretest.Truncated)
	if got, err := client.SubmitLink(t.Context(), "example.test"); err != nil || !got.Uncertain {
		t.Errorf("got %+v, %v; want an uncertain submission", got, err)
	}
}

// TestSubmitLinks makes several calls above 1,000 links, and returns a receipt for every link in
// order.
func TestSubmitLinks(t *testing.T) {
	t.Parallel()
	server := wildfiretest.New()
	client, _ := start(t, server)
	var links []string
	for i := range 1001 {
		links = append(links, "https://example.test/"+strings.Repeat("x", i%7)+string(rune('a'+i%26)))
	}

	got, err := client.SubmitLinks(t.Context(), links)
	if err != nil || len(got) != len(links) {
		t.Fatalf("%d receipts, %v", len(got), err)
	}

	for i, link := range links {
		if got[i].URL != link || got[i].SHA256 != sha256Of(link) || got[i].Uncertain {
			t.Fatalf("receipt %d is %+v, want that of %s", i, got[i], link)
		}
	}

	sizes := []int{}
	for _, call := range server.Calls() {
		sizes = append(sizes, call.Hashes)
	}
	if !slices.Equal(sizes, []int{1000, 1}) {
		t.Errorf("calls of %v links, want 1000 and 1", sizes)
	}

	for i := range links[:1000] {
		links[i] += strings.Repeat("y", 850) // the receipts are larger than any other answer
	}

	got, err = client.SubmitLinks(t.Context(), links[:1000])
	if err != nil || len(got) != 1000 || got[999].Uncertain {
		t.Errorf("%d receipts for long links, %v", len(got), err)
	}

	server.SetStyle(wildfiretest.MissingURL)
	if got, err := client.SubmitLinks(t.Context(), links[:2]); err != nil || len(got) != 2 || !got[0].Uncertain {
		t.Errorf("got %+v, %v; want uncertain receipts", got, err)
	}

	for _, bad := range []string{"", "a\nb", " x", "ftp://x"} {
		if _, err := client.SubmitLinks(t.Context(), []string{"https://fine.test", bad}); !errors.Is(err, wildfire.ErrInvalidArgument) {
			t.Errorf("%q: got %v, want ErrInvalidArgument", bad, err)
		}
	}

	if got, err := client.SubmitLinks(t.Context(), nil); got != nil || err != nil {
		t.Errorf("no links: got %v, %v", got, err)
	}
}
