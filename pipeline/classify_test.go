package pipeline_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"backburn/pipeline"
	"backburn/results"
	"backburn/wildfire"
)

// fixedAnswer is a transport that reads the request and gives one answer.
type fixedAnswer struct {
	status int
	header http.Header
	body   string
	fault  error // instead of an answer
}

func (a *fixedAnswer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, err := io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err // as in net/http: a body whose reader fails is not sent completely
		}
	}
	if a.fault != nil {
		return nil, a.fault
	}

	header := http.Header{}
	if a.header != nil {
		header = a.header
	}

	return &http.Response{
		StatusCode: a.status,
		Header:     header,
		Request:    r,
		ProtoMajor: 1,
		ProtoMinor: 1,
		Body:       io.NopCloser(strings.NewReader(a.body)),
	}, nil
}

const (
	testSHA256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"
	testLink   = "https://example.test/a"

	receipt = `<wildfire><upload-file-info><sha256>` + testSHA256 + `</sha256><md5>098f6bcd4621d373cade4e832627b4f6</md5></upload-file-info></wildfire>`
	verdict = `<wildfire><get-verdict-info><sha256>` + testSHA256 + `</sha256><verdict>0</verdict><url>` + testLink + `</url></get-verdict-info></wildfire>`
	refusal = `<error><error-message>'no'</error-message></error>`
)

// wildfireCall is a call whose outcome is classified.
type wildfireCall struct {
	name    string
	op      pipeline.Op
	success string // the answer of a call that succeeds
	do      func(context.Context, *wildfire.Client) error
}

func wildfireCalls() []wildfireCall {
	return []wildfireCall{
		{"submit/file", pipeline.OpUpload, receipt, func(ctx context.Context, c *wildfire.Client) error {
			_, err := c.SubmitFile(ctx, contents("test"))
			return err
		}},
		{"submit/link", pipeline.OpUpload, "<wildfire/>", func(ctx context.Context, c *wildfire.Client) error {
			_, err := c.SubmitLink(ctx, testLink)
			return err
		}},
		{"get/verdicts", pipeline.OpQuery, verdict, func(ctx context.Context, c *wildfire.Client) error {
			_, err := c.Verdicts(ctx, []string{testSHA256})
			return err
		}},
		{"get/verdict", pipeline.OpQuery, verdict, func(ctx context.Context, c *wildfire.Client) error {
			_, err := c.URLVerdict(ctx, testLink)
			return err
		}},
	}
}

func contents(body string) wildfire.File {
	return wildfire.File{
		Name: "a.exe",
		Size: int64(len(body)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(body))), nil },
	}
}

// newClient returns a client whose service is simulated by the transport.
func newClient(t *testing.T, transport http.RoundTripper, token wildfire.TokenSource) *wildfire.Client {
	t.Helper()
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = "https://wildfire.example.test"
	cfg.Transport = transport
	c, err := wildfire.New(cfg, token)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)

	return c
}

// expectedDisposition is a disposition without its text.
type expectedDisposition struct {
	Action  pipeline.Action
	Reason  results.Reason
	Tries   int
	Content bool
}

func withoutText(d pipeline.Disposition) expectedDisposition {
	return expectedDisposition{Action: d.Action, Reason: d.Reason, Tries: d.MaxAttempts, Content: d.ContentFault}
}

var (
	isDone       = expectedDisposition{Action: pipeline.Complete}
	isRejected   = expectedDisposition{Action: pipeline.Terminate, Reason: results.Rejected}
	mayPass      = expectedDisposition{Action: pipeline.Retry, Reason: results.AttemptsExhausted}
	isDoubtful   = expectedDisposition{Action: pipeline.Doubt, Reason: results.Rejected, Tries: 3}
	isEveryone   = expectedDisposition{Action: pipeline.PauseFleet}
	isBudget     = expectedDisposition{Action: pipeline.ParkBudget}
	isOurPutOff  = expectedDisposition{Action: pipeline.Defer}
	isUnsuitable = expectedDisposition{Action: pipeline.Terminate, Reason: results.UnsupportedType, Content: true}
)

// expectedForStatus is the table of what each status means for each operation. Statuses that the
// service does not use come from a proxy. For an upload they may be about the file alone, and no
// verdict is lost.
func expectedForStatus(call wildfireCall, status int) expectedDisposition {
	upload := map[int]expectedDisposition{
		400: isRejected,
		401: isEveryone,
		405: isRejected,
		408: mayPass,
		409: {Action: pipeline.Retry, Reason: results.Rejected, Tries: 3},
		410: isRejected,
		413: {Action: pipeline.Terminate, Reason: results.TooLarge},
		415: isRejected,
		417: mayPass,
		418: isUnsuitable,
		419: isBudget,
		420: isRejected,
		421: isRejected,
		422: {Action: pipeline.Terminate, Reason: results.Unprocessable, Content: true},
		429: mayPass,
		456: isRejected,
		513: {Action: pipeline.Retry, Reason: results.Unprocessable, Tries: 3, Content: true},
	}
	query := map[int]expectedDisposition{
		400: isRejected,
		405: isRejected,
		408: mayPass,
		409: mayPass,
		410: isRejected,
		413: isRejected,
		415: isRejected,
		417: mayPass,
		418: isRejected,
		419: isBudget,
		420: isRejected,
		421: isRejected,
		422: isRejected,
		429: mayPass,
		456: isRejected,
	}
	if call.name == "get/verdict" {
		query[404] = isRejected // about this link, not the address: an appliance does not support links
	}

	listed, otherwise := upload, isDoubtful
	if call.op == pipeline.OpQuery {
		listed, otherwise = query, isEveryone
	}

	switch m, ok := listed[status]; {
	case ok:
		return m
	case status >= 500:
		return mayPass
	case status >= 200 && status < 300:
		return isDone
	}

	return otherwise
}

func TestClassifyEveryStatus(t *testing.T) {
	t.Parallel()

	for _, call := range wildfireCalls() {
		t.Run(call.name, func(t *testing.T) {
			t.Parallel()
			for status := 100; status <= 599; status++ {
				transport := &fixedAnswer{status: status, body: "<html>from a proxy</html>"}
				if status >= 200 && status < 300 {
					transport.body = call.success
				}
				err := call.do(t.Context(), newClient(t, transport, wildfire.StaticToken("t")))

				d := pipeline.Classify(call.op, err)
				if diff := cmp.Diff(expectedForStatus(call, status), withoutText(d)); diff != "" {
					t.Errorf("%d, %v (-want +got)\n%s", status, err, diff)
				}
				gateway := status == 502 || status == 504 // the request may have reached the service first
				if d.Unsure != gateway {
					t.Errorf("%d: unsure %v, want %v", status, d.Unsure, gateway)
				}
				if (d.Message == "") != (err == nil) {
					t.Errorf("%d: the message is %q, the error %v", status, d.Message, err)
				}
				if got := d.HTTPStatus(); got != status && err != nil {
					t.Errorf("%d: the disposition has status %d", status, got)
				}
				judged := d.Action == pipeline.Complete || d.Action == pipeline.Terminate
				if d.Processed() != judged {
					t.Errorf("%d: processed %v, want %v", status, d.Processed(), judged)
				}
			}
		})
	}
}

// The delay that the service asks for is used if the call is repeated, and only then.
func TestClassifyRetryAfter(t *testing.T) {
	t.Parallel()

	for status, want := range map[int]time.Duration{
		429: 7 * time.Second,
		503: 7 * time.Second,
		403: 0,
		401: 0,
		418: 0,
		413: 7 * time.Second, // only with Retry-After it is temporary
	} {
		transport := &fixedAnswer{status: status, header: http.Header{"Retry-After": {"7"}}}
		_, err := newClient(t, transport, wildfire.StaticToken("t")).SubmitFile(t.Context(), contents("test"))
		if d := pipeline.Classify(pipeline.OpUpload, err); d.Delay != want {
			t.Errorf("%d: the delay is %s, want %s", status, d.Delay, want)
		}
	}
}

// noTokens is a source of tokens that has none.
type noTokens struct{}

func (noTokens) TokenFor(context.Context, time.Duration) (string, error) {
	return "", errors.New("the grant was revoked")
}

func (noTokens) Accepted(string) {}

func (noTokens) Rejected(string) {}

func TestClassifyWithoutStatus(t *testing.T) {
	t.Parallel()

	ctx := t.Context()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	good := func(body string) *wildfire.Client {
		return newClient(t, &fixedAnswer{status: 200, body: body}, wildfire.StaticToken("t"))
	}
	file := func(f wildfire.File) error {
		_, err := good(receipt).SubmitFile(ctx, f)
		return err
	}
	unreadable := contents("test")
	unreadable.Open = func() (io.ReadCloser, error) { return nil, errors.New("I/O error") }
	missing := contents("test")
	missing.Open = func() (io.ReadCloser, error) { return nil, fmt.Errorf("open: %w", pipeline.ErrContentMissing) }
	shorter := contents("test")
	shorter.Size = 5
	other := contents("test")
	other.SHA256 = strings.Repeat("0", 64)

	lost := newClient(t, &fixedAnswer{fault: io.ErrUnexpectedEOF}, wildfire.StaticToken("t"))
	_, lostUpload := lost.SubmitFile(ctx, contents("test"))
	_, lostQuery := lost.Verdicts(ctx, []string{testSHA256})
	_, canceled := lost.SubmitFile(gone, contents("test"))
	tokenless := newClient(t, &fixedAnswer{status: 200}, noTokens{})
	_, noTokenUpload := tokenless.SubmitFile(ctx, contents("test"))
	_, noTokenQuery := tokenless.Verdicts(ctx, []string{testSHA256})
	_, refused := good(refusal).SubmitFile(ctx, contents("test"))
	_, altered := good(strings.ReplaceAll(receipt, testSHA256, strings.Repeat("1", 64))).SubmitFile(ctx, contents("test"))
	_, unusable := good("<html>log in</html>").Verdicts(ctx, []string{testSHA256})

	changed := expectedDisposition{Action: pipeline.Terminate, Reason: results.ContentChanged}
	absent := expectedDisposition{Action: pipeline.Terminate, Reason: results.ContentMissing}
	unread := expectedDisposition{Action: pipeline.Retry, Reason: results.ContentMissing}

	for name, tc := range map[string]struct {
		op     pipeline.Op
		err    error
		want   expectedDisposition
		unsure bool
	}{
		"success":                 {pipeline.OpUpload, nil, isDone, false},
		"upload without answer":   {pipeline.OpUpload, lostUpload, mayPass, true},
		"query without answer":    {pipeline.OpQuery, lostQuery, mayPass, true},
		"shutdown":                {pipeline.OpUpload, canceled, isOurPutOff, false},
		"no token to upload":      {pipeline.OpUpload, noTokenUpload, isOurPutOff, false},
		"no token to query":       {pipeline.OpQuery, noTokenQuery, isOurPutOff, false},
		"error in a success":      {pipeline.OpUpload, refused, isRejected, false},
		"altered on the way":      {pipeline.OpUpload, altered, changed, false},
		"unusable answer":         {pipeline.OpQuery, unusable, expectedDisposition{Action: pipeline.PauseFleet}, true},
		"empty":                   {pipeline.OpUpload, file(contents("")), expectedDisposition{Action: pipeline.Terminate, Reason: results.Empty, Content: true}, false},
		"cannot be opened":        {pipeline.OpUpload, file(unreadable), unread, false},
		"is missing when opened":  {pipeline.OpUpload, file(missing), absent, false},
		"shorter than promised":   {pipeline.OpUpload, file(shorter), changed, false},
		"other than promised":     {pipeline.OpUpload, file(other), changed, false},
		"too large":               {pipeline.OpUpload, fmt.Errorf("size: %w", wildfire.ErrTooLarge), expectedDisposition{Action: pipeline.Terminate, Reason: results.TooLarge}, false},
		"missing":                 {pipeline.OpUpload, fmt.Errorf("find: %w", pipeline.ErrContentMissing), absent, false},
		"changed":                 {pipeline.OpUpload, fmt.Errorf("read: %w", pipeline.ErrContentChanged), changed, false},
		"outside of its folder":   {pipeline.OpUpload, fmt.Errorf("open: %w", pipeline.ErrOutside), expectedDisposition{Action: pipeline.Terminate, Reason: results.Forbidden}, false},
		"unreadable":              {pipeline.OpUpload, fmt.Errorf("open: %w", pipeline.ErrUnreadable), unread, false},
		"this worker's own fault": {pipeline.OpUpload, fmt.Errorf("open: %w", pipeline.ErrUnreachable), expectedDisposition{Action: pipeline.ReleaseJob}, false},
		"something else":          {pipeline.OpUpload, errors.New("never seen"), mayPass, false},
		"something else, asking":  {pipeline.OpQuery, errors.New("never seen"), mayPass, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pipeline.Classify(tc.op, tc.err)
			if diff := cmp.Diff(tc.want, withoutText(d)); diff != "" {
				t.Errorf("%v (-want +got)\n%s", tc.err, diff)
			}
			if d.Unsure != tc.unsure {
				t.Errorf("%v: unsure %v, want %v", tc.err, d.Unsure, tc.unsure)
			}
			if (d.Message == "") != (tc.err == nil) {
				t.Errorf("%v: the message is %q", tc.err, d.Message)
			}
		})
	}
}

// Every action has a label of its own, because a metric uses it.
func TestActionLabels(t *testing.T) {
	t.Parallel()

	seen := map[string]bool{}
	for _, a := range pipeline.Actions() {
		if l := a.Label(); l == "" || seen[l] {
			t.Errorf("action %d has the label %q", a, l)
		}
		seen[a.Label()] = true
	}
}

// simulateUploads simulates uploads: in each round, every sample that is not done is sent once. It
// returns the number of pauses and how each sample ended: true for sent, false for refused.
func simulateUploads(rounds int, samples []string, refuses func(sample string) bool) (pauses int, ended map[string]bool) {
	var refusals pipeline.Refusals
	doubt := pipeline.Classify(pipeline.OpUpload, forbidden{})
	counted := map[string]int{}
	ended = map[string]bool{}

	for range rounds {
		for _, s := range samples {
			if _, over := ended[s]; over {
				continue
			}
			if !refuses(s) {
				refusals.Processed(s)
				ended[s] = true
				continue
			}

			switch d := refusals.Judge(s, doubt); d.Action {
			case pipeline.PauseFleet:
				pauses++
			case pipeline.Retry:
				if counted[s]++; counted[s] == d.MaxAttempts {
					ended[s] = false
				}
			}
		}
	}

	return pauses, ended
}

// forbidden is the client's error for a 403.
type forbidden struct{}

func (forbidden) Error() string { return "403 no permission" }

func (forbidden) Is(target error) bool { return target == wildfire.ErrForbidden }

// A proxy refuses three of 23 files. Those three end, and the others do not wait for them.
func TestRefusalsOfSomeFiles(t *testing.T) {
	t.Parallel()

	samples := make([]string, 23)
	for i := range samples {
		samples[i] = fmt.Sprintf("s%02d", i)
	}
	bad := map[string]bool{"s03": true, "s11": true, "s17": true}

	pauses, ended := simulateUploads(8, samples, func(s string) bool { return bad[s] })
	if pauses != 0 {
		t.Errorf("%d pauses for three files, while others got through", pauses)
	}
	for _, s := range samples {
		if sent, over := ended[s]; !over || sent == bad[s] {
			t.Errorf("%s: ended %v, sent %v", s, over, sent)
		}
	}
}

// If the refused files come first, it is not yet known whether everything is refused. They are
// postponed, the others do not wait, and the first success decides.
func TestRefusalsBeforeAnythingGotThrough(t *testing.T) {
	t.Parallel()

	samples := []string{"bad1", "bad2", "bad3", "good1", "good2"}
	pauses, ended := simulateUploads(8, samples, func(s string) bool { return strings.HasPrefix(s, "bad") })
	if pauses != 0 {
		t.Errorf("%d pauses for three files", pauses)
	}
	if len(ended) != len(samples) {
		t.Errorf("ended: %v, want all", ended)
	}
}

// With a credential that has no license, everything is refused: uploads are paused, and no file
// fails.
func TestRefusalsOfEverything(t *testing.T) {
	t.Parallel()

	samples := []string{"s0", "s1", "s2", "s3", "s4", "s5"}
	pauses, ended := simulateUploads(5, samples, func(string) bool { return true })
	if want := 5*len(samples) - 4; pauses != want {
		t.Errorf("%d pauses, want %d: one for each of %d refusals after the fourth file's", pauses, want, 5*len(samples))
	}
	if len(ended) != 0 {
		t.Errorf("ended: %v, want none", ended)
	}
}

// A single refused file is retried with growing delays, and nothing waits for it: there is no
// evidence yet about other files. Once another file succeeds, the refusal is about that file alone.
func TestRefusalsOfOneFileAlone(t *testing.T) {
	t.Parallel()

	var r pipeline.Refusals
	doubt := pipeline.Classify(pipeline.OpUpload, forbidden{})
	judged := func(want pipeline.Action) {
		t.Helper()
		if d := r.Judge("alone", doubt); d.Action != want {
			t.Errorf("it is %s, want %s", d.Action.Label(), want.Label())
		}
	}

	judged(pipeline.Defer)
	judged(pipeline.Defer)
	if d := r.Judge("alone", doubt); d.Delay != 4*time.Second {
		t.Errorf("after three refusals it is retried after %s", d.Delay)
	}
	for range 100 {
		judged(pipeline.Defer)
	}
	if d := r.Judge("alone", doubt); d.Delay != 5*time.Minute {
		t.Errorf("in the end it is retried after %s", d.Delay)
	}
	r.Processed("another")
	judged(pipeline.Retry)
	judged(pipeline.Retry)
	r.Processed("alone")
	judged(pipeline.Defer) // it succeeded: the next refusal starts a new count
}

// The memory is bounded, and forgetting is harmless.
func TestRefusalsAreBounded(t *testing.T) {
	t.Parallel()

	var r pipeline.Refusals
	doubt := pipeline.Classify(pipeline.OpUpload, forbidden{})
	for i := range 25_000 {
		r.Judge(fmt.Sprint(i), doubt)
	}
	r.Processed("good")
	if d := r.Judge("24999", doubt); d.Action != pipeline.Retry {
		t.Errorf("a recently refused file is %s, want %s", d.Action.Label(), pipeline.Retry.Label())
	}
	if d := r.Judge("0", doubt); d.Action != pipeline.Defer {
		t.Errorf("a forgotten file is %s, want %s", d.Action.Label(), pipeline.Defer.Label())
	}
}
