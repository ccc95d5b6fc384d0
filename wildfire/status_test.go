package wildfire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"backburn/wildfire"
)

// An error matches exactly one of the specific sentinels, and possibly some of the families.
var specific = map[string]error{
	"redirect": wildfire.ErrRedirect, "invalid request": wildfire.ErrInvalidRequest,
	"unauthorized": wildfire.ErrUnauthorized, "forbidden": wildfire.ErrForbidden,
	"sample forbidden": wildfire.ErrSampleForbidden, "invalid date": wildfire.ErrInvalidDate,
	"not ready": wildfire.ErrNotReady, "no such operation": wildfire.ErrNoSuchOperation,
	"method": wildfire.ErrMethod, "conflict": wildfire.ErrConflict, "gone": wildfire.ErrGone,
	"too large": wildfire.ErrTooLarge, "too many entries": wildfire.ErrTooManyEntries,
	"media type": wildfire.ErrMediaType, "same verdict": wildfire.ErrSameVerdict,
	"unsupported type": wildfire.ErrUnsupportedType, "malformed list": wildfire.ErrMalformedList,
	"upload quota": wildfire.ErrUploadQuota, "query quota": wildfire.ErrQueryQuota,
	"missing argument": wildfire.ErrMissingArgument, "invalid argument": wildfire.ErrInvalidArgument,
	"unprocessable": wildfire.ErrUnprocessable, "too many requests": wildfire.ErrTooManyRequests,
	"server": wildfire.ErrServer, "gateway": wildfire.ErrGateway, "unavailable": wildfire.ErrUnavailable,
	"upload failed": wildfire.ErrUploadFailed, "unexpected": wildfire.ErrUnexpectedStatus,
	"rejected": wildfire.ErrRejected, "token": wildfire.ErrToken, "empty file": wildfire.ErrEmptyFile,
	"source": wildfire.ErrSource, "ambiguous": wildfire.ErrAmbiguous, "sink": wildfire.ErrSink,
	"download limit": wildfire.ErrDownloadLimit, "foreign answer": wildfire.ErrForeignAnswer,
}

// everywhere has the sentinel of each status, for every operation that is not listed in special.
var everywhere = map[int]error{
	400: wildfire.ErrInvalidRequest, 401: wildfire.ErrUnauthorized, 403: wildfire.ErrForbidden,
	404: wildfire.ErrNoSuchOperation, 405: wildfire.ErrMethod, 408: wildfire.ErrGateway, 409: wildfire.ErrConflict,
	410: wildfire.ErrGone, 413: wildfire.ErrTooLarge, 415: wildfire.ErrMediaType,
	417: wildfire.ErrSameVerdict, 418: wildfire.ErrUnsupportedType, 419: wildfire.ErrQueryQuota,
	420: wildfire.ErrMissingArgument, 421: wildfire.ErrInvalidArgument, 422: wildfire.ErrUnprocessable,
	429: wildfire.ErrTooManyRequests, 456: wildfire.ErrInvalidRequest, 502: wildfire.ErrGateway,
	503: wildfire.ErrUnavailable, 504: wildfire.ErrGateway, 513: wildfire.ErrUploadFailed,
}

// special has the sentinels of the statuses that depend on the operation.
var special = map[wildfire.Op]map[int]error{
	wildfire.OpSubmitFile:      {419: wildfire.ErrUploadQuota},
	wildfire.OpSubmitURL:       {419: wildfire.ErrUploadQuota},
	wildfire.OpSubmitLink:      {419: wildfire.ErrUploadQuota},
	wildfire.OpSubmitLinks:     {419: wildfire.ErrUploadQuota, 418: wildfire.ErrMalformedList},
	wildfire.OpVerdict:         {404: wildfire.ErrNotFound},
	wildfire.OpVerdicts:        {413: wildfire.ErrTooManyEntries},
	wildfire.OpVerdictsChanged: {403: wildfire.ErrInvalidDate},
	wildfire.OpReport:          {403: wildfire.ErrSampleForbidden, 404: wildfire.ErrNotReady},
	wildfire.OpPCAP:            {403: wildfire.ErrSampleForbidden, 404: wildfire.ErrNotReady},
	wildfire.OpWebArtifacts:    {403: wildfire.ErrSampleForbidden, 404: wildfire.ErrNotReady},
	wildfire.OpSample:          {403: wildfire.ErrSampleForbidden, 404: wildfire.ErrNotFound},
	wildfire.OpTestFile:        {403: wildfire.ErrSampleForbidden, 404: wildfire.ErrNotFound},
}

func meaning(op wildfire.Op, status int) error {
	if err, ok := special[op][status]; ok {
		return err
	}
	if err, ok := everywhere[status]; ok {
		return err
	}
	switch status / 100 {
	case 3:
		return wildfire.ErrRedirect
	case 5:
		return wildfire.ErrServer
	}

	return wildfire.ErrUnexpectedStatus
}

const anyHash = "d5b2f38c0000000000000000000000000000000000000000000000000000beef"

// callOf has a function for each operation that calls the operation with valid arguments.
var callOf = map[wildfire.Op]func(context.Context, *wildfire.Client) error{
	wildfire.OpSubmitFile: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.SubmitFile(ctx, file("a.exe", "contents"))
		return err
	},
	wildfire.OpSubmitURL: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.SubmitURL(ctx, "https://example.test/a.exe", "a.exe")
		return err
	},
	wildfire.OpSubmitLink: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.SubmitLink(ctx, "https://example.test")
		return err
	},
	wildfire.OpSubmitLinks: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.SubmitLinks(ctx, []string{"https://example.test"})
		return err
	},
	wildfire.OpChangeRequest: func(ctx context.Context, c *wildfire.Client) error {
		return c.RequestVerdictChange(ctx, anyHash, wildfire.Benign, "a@example.test", "")
	},
	wildfire.OpLocalVerdictChange: func(ctx context.Context, c *wildfire.Client) error {
		_, _, err := c.ChangeLocalVerdict(ctx, anyHash, wildfire.Benign, "")
		return err
	},
	wildfire.OpVerdict: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.Verdict(ctx, anyHash)
		return err
	},
	wildfire.OpVerdicts: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.Verdicts(ctx, []string{anyHash})
		return err
	},
	wildfire.OpVerdictsChanged: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.VerdictsChanged(ctx, time.Now())
		return err
	},
	wildfire.OpReport: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.Report(ctx, anyHash)
		return err
	},
	wildfire.OpSample: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.Sample(ctx, anyHash, io.Discard)
		return err
	},
	wildfire.OpPCAP: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.PCAP(ctx, anyHash, 0, io.Discard)
		return err
	},
	wildfire.OpWebArtifacts: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.WebArtifacts(ctx, "https://example.test", io.Discard)
		return err
	},
	wildfire.OpTestFile: func(ctx context.Context, c *wildfire.Client) error {
		_, err := c.TestFile(ctx, wildfire.TestPE, io.Discard)
		return err
	},
}

// answering is a transport that reads the request and always gives the same answer.
type answering struct {
	status  int
	header  http.Header
	body    string
	request *http.Request
	closed  int
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.request = r
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	header := a.header
	if header == nil {
		header = http.Header{}
	}

	return &http.Response{
		StatusCode: a.status, Header: header, Request: r, ProtoMajor: 1, ProtoMinor: 1,
		Body: &countedBody{Reader: bytes.NewReader([]byte(a.body)), closed: &a.closed},
	}, nil
}

type countedBody struct {
	*bytes.Reader
	closed *int
}

func (b *countedBody) Close() error { *b.closed++; return nil }

// TestEveryStatusOfEveryOperation is the package's table of errors. It checks what each status
// other than success means for each operation, that the error matches exactly one specific
// sentinel, and that its text contains nothing of the answer's body or the credential.
func TestEveryStatusOfEveryOperation(t *testing.T) {
	t.Parallel()
	const secret, canary = "s3cr3t-token", "canary-in-the-body"
	for _, op := range slices.Sorted(maps.Keys(callOf)) {
		t.Run(strings.ReplaceAll(string(op), "/", "-"), func(t *testing.T) {
			t.Parallel()
			call := callOf[op]
			for status := 100; status <= 599; status++ {
				if status >= 200 && status < 300 {
					continue // decided by the answer: TestUnusableSuccessOfEveryOperation
				}

				transport := &answering{status: status, body: "<html>" + canary + "</html>"}
				c := client(t, "https://wildfire.example.test", wildfire.StaticToken(secret), func(cfg *wildfire.Config) {
					cfg.Transport = transport
				})
				err := call(t.Context(), c)
				want := meaning(op, status)
				if !errors.Is(err, want) {
					t.Errorf("%d: got %v, want %v", status, err, want)
				}

				for name, other := range specific {
					if !errors.Is(want, other) && errors.Is(err, other) {
						t.Errorf("%d: matches %q besides %v", status, name, want)
					}
				}

				if quota := errors.Is(err, wildfire.ErrQuota); quota != (status == 419) {
					t.Errorf("%d: matches ErrQuota: %v", status, quota)
				}

				var api *wildfire.APIError
				if !errors.As(err, &api) || api.Op != op || api.Status != status {
					t.Errorf("%d: got %+v, want an APIError of %s with the status", status, api, op)
				}

				for _, hidden := range []string{secret, canary, "example.test"} {
					if strings.Contains(err.Error(), hidden) {
						t.Errorf("%d: the error shows %q: %v", status, hidden, err)
					}
				}

				if transport.closed == 0 {
					t.Errorf("%d: the answer was not closed", status)
				}
			}
		})
	}
}

// TestUnusableSuccessOfEveryOperation answers every operation with a success that has nothing
// usable.
func TestUnusableSuccessOfEveryOperation(t *testing.T) {
	t.Parallel()
	// Operations that succeed with any WildFire document: the submission was counted, or the answer
	// is undocumented.
	tolerant := map[wildfire.Op]bool{
		wildfire.OpSubmitFile: true, wildfire.OpSubmitURL: true, wildfire.OpSubmitLink: true, wildfire.OpSubmitLinks: true,
		wildfire.OpChangeRequest: true, wildfire.OpLocalVerdictChange: true,
	}
	for _, op := range slices.Sorted(maps.Keys(callOf)) {
		if op == wildfire.OpTestFile {
			continue // any bytes are a valid file
		}

		for status := 200; status < 300; status++ {
			for name, body := range map[string]string{"html": "<html><body>Forbidden. (403)</body></html>", "error": vendorError, "response": "<response><version>2.0</version></response>"} {
				transport := &answering{status: status, body: body}
				c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) { cfg.Transport = transport })
				err := callOf[op](t.Context(), c)
				download := op == wildfire.OpSample || op == wildfire.OpPCAP || op == wildfire.OpWebArtifacts
				want := wildfire.ErrAnswer
				switch {
				case download && status != 200:
					want = wildfire.ErrUnexpectedStatus
				case name == "error":
					want = wildfire.ErrRejected
				case name == "html":
					want = wildfire.ErrForeignAnswer
				case tolerant[op]:
					want = nil
				case name == "response" && (download || op == wildfire.OpReport):
					want = wildfire.ErrNotReady
				}

				if want == nil && err != nil || want != nil && !errors.Is(err, want) {
					t.Errorf("%s, %d, %s: got %v, want %v", op, status, name, err, want)
				}
			}
		}
	}
}

const vendorError = `<?xml version="1.0" encoding="UTF-8"?>
<error>
    <error-message>'Invalid hash, has to be 32 or 64 bytes 0-9a-fA-F'</error-message>
</error>
`

func TestErrorMessagesAreSanitized(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, want string }{
		"vendor":        {vendorError, "Invalid hash, has to be 32 or 64 bytes 0-9a-fA-F"},
		"nested":        {"<submission><error><error-message>'Unsupport File type'</error-message></error></submission>", "Unsupport File type"},
		"no quotes":     {"<error><error-message>Invalid Date</error-message></error>", "Invalid Date"},
		"credential":    {"<error><error-message>key 0123456789abcdef refused</error-message></error>", "key [credential] refused"},
		"address":       {"<error><error-message>cannot fetch https://user:pw@host/x?sig=1 now</error-message></error>", "cannot fetch [url] now"},
		"control":       {"<error><error-message>a\x01b\tc\nd</error-message></error>", "a?b c d"},
		"not ASCII":     {"<error><error-message>Größe</error-message></error>", "Gr??e"},
		"long":          {"<error><error-message>" + strings.Repeat("x", 5000) + "</error-message></error>", strings.Repeat("x", 200)},
		"html":          {"<html><body>oops</body></html>", ""},
		"json":          {`{"error":"oops"}`, ""},
		"empty":         {"", ""},
		"other element": {"<error><detail>secret</detail></error>", ""},
		"with a DTD":    {"<!DOCTYPE error><error><error-message>x</error-message></error>", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := wildfire.ErrorMessage([]byte(tt.body), "0123456789abcdef"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestForbiddenChangedVerdictsIsNoInvalidDate(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]error{
		"<error><error-message>'Permission Denied'</error-message></error>": wildfire.ErrForbidden,
		"<error><error-message>'Invalid Date'</error-message></error>":      wildfire.ErrInvalidDate,
	} {
		c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
			cfg.Transport = &answering{status: 403, body: body}
		})
		if _, err := c.VerdictsChanged(t.Context(), time.Now()); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
}

func TestRetryAfterReachesTheCaller(t *testing.T) {
	t.Parallel()
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = &answering{status: 429, header: http.Header{"Retry-After": {"90"}}}
	})
	_, err := c.Verdict(t.Context(), anyHash)
	var api *wildfire.APIError
	if !errors.As(err, &api) || api.RetryAfter != 90*time.Second {
		t.Errorf("got %+v, want to wait 90s", api)
	}
}
