package wildfire_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"backburn/wildfire"
)

const (
	loginPage = `<!DOCTYPE html>
<html lang=en><head><TITLE>
  Guest &amp; Visitor Login
</TITLE></head><body><form action=/login><input name=user></form></body></html>`
	xhtmlPage = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "http://www.w3.org/TR/xhtml1/DTD/xhtml1-strict.dtd">
<html xmlns="http://www.w3.org/1999/xhtml"><head><title>Blocked</title></head></html>`
)

// foreignAnswers are answers of captive portals, proxies, filters and scanners.
var foreignAnswers = map[string]struct {
	contentType string
	body        string
	want        wildfire.ForeignAnswer
}{
	"login page":                  {"text/html; charset=utf-8", loginPage, wildfire.ForeignAnswer{ContentType: "text/html", Title: "Guest & Visitor Login"}},
	"page without a content type": {"", loginPage, wildfire.ForeignAnswer{ContentType: "text/html", Title: "Guest & Visitor Login"}},
	"page as XML":                 {"text/xml", xhtmlPage, wildfire.ForeignAnswer{ContentType: "text/xml", Title: "Blocked"}},
	"truncated page":              {"text/html", "<html><head><title>Sig", wildfire.ForeignAnswer{ContentType: "text/html"}},
	"WildFire's XML in a page":    {"text/html", "<html><wildfire><upload-file-info/></wildfire></html>", wildfire.ForeignAnswer{ContentType: "text/html"}},
	"JSON":                        {"application/json", `{"success":false,"error":"login required"}`, wildfire.ForeignAnswer{ContentType: "application/json"}},
	"JSON array":                  {"application/json", `["result"]`, wildfire.ForeignAnswer{ContentType: "application/json"}},
	"text":                        {"text/plain", "Blocked by policy 17\n", wildfire.ForeignAnswer{ContentType: "text/plain"}},
	"text, then XML":              {"text/plain", "see <wildfire/>", wildfire.ForeignAnswer{ContentType: "text/plain"}},
	"other XML":                   {"application/xml", "<Error><Code>AccessDenied</Code></Error>", wildfire.ForeignAnswer{ContentType: "application/xml"}},
	"SOAP":                        {"text/xml", `<s:wildfire xmlns:s="urn:x"/>`, wildfire.ForeignAnswer{ContentType: "text/xml"}},
	"empty":                       {"text/xml", "", wildfire.ForeignAnswer{}},
	"blank":                       {"", "\r\n", wildfire.ForeignAnswer{}},
	"only XML's head": {
		"text/xml", `<?xml version="1.0" encoding="UTF-8"?>` + "\n", wildfire.ForeignAnswer{ContentType: "text/xml"},
	},
}

// TestForeignSuccessIsAnError: a success status in a form that is not WildFire's is an error of
// every operation. It does not count as an accepted credential, and WildFire may have got the
// request.
func TestForeignSuccessIsAnError(t *testing.T) {
	t.Parallel()
	for name, tt := range foreignAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for op, call := range callOf {
				for _, status := range []int{200, 201, 203} {
					tokens := &rotating{tokens: []string{"s3cr3t"}}
					c := client(t, "https://wildfire.example.test", tokens, func(cfg *wildfire.Config) {
						cfg.Transport = &answering{status: status, body: tt.body, header: contentType(tt.contentType)}
					})
					err := call(t.Context(), c)

					want := wildfire.ErrForeignAnswer
					if status != 200 && isDownload(op) {
						want = wildfire.ErrUnexpectedStatus
					}

					if !errors.Is(err, want) {
						t.Errorf("%s, %d: got %v, want %v", op, status, err, want)
						continue
					}

					api, _ := errors.AsType[*wildfire.APIError](err)
					if diff := cmp.Diff(&tt.want, api.Foreign); diff != "" {
						t.Errorf("%s, %d: foreign answer (-want +got):\n%s", op, status, diff)
					}
					if !api.MaybeDone && op != wildfire.OpTestFile {
						t.Errorf("%s, %d: not MaybeDone, although the request was sent", op, status)
					}
					if len(tokens.accepted) > 0 {
						t.Errorf("%s, %d: the token counts as accepted", op, status)
					}
				}
			}
		})
	}
}

func isDownload(op wildfire.Op) bool {
	switch op {
	case wildfire.OpSample, wildfire.OpPCAP, wildfire.OpWebArtifacts, wildfire.OpTestFile:
		return true
	}

	return false
}

func contentType(value string) http.Header {
	if value == "" {
		return http.Header{}
	}

	return http.Header{"Content-Type": {value}}
}

// TestForeignReportIsAnError covers the report formats that callOf does not request.
func TestForeignReportIsAnError(t *testing.T) {
	t.Parallel()
	for name, tt := range foreignAnswers {
		c := client(t, "https://wildfire.example.test", wildfire.StaticToken("s3cr3t"), func(cfg *wildfire.Config) {
			cfg.Transport = &answering{status: 200, body: tt.body, header: contentType(tt.contentType)}
		})
		_, ofURL := c.URLReport(t.Context(), "https://example.test")
		_, asMAEC := c.ReportMAEC(t.Context(), anyHash)
		_, asPDF := c.ReportPDF(t.Context(), anyHash, io.Discard)
		for format, err := range map[string]error{"URL": ofURL, "MAEC": asMAEC, "PDF": asPDF} {
			if !errors.Is(err, wildfire.ErrForeignAnswer) || errors.Is(err, wildfire.ErrNotReady) {
				t.Errorf("%s, %s: got %v, want ErrForeignAnswer", name, format, err)
			}
		}
	}
}

// TestErrorsSayWhetherAnAnswerIsForeign: the error of a failure says who sent it.
func TestErrorsSayWhetherAnAnswerIsForeign(t *testing.T) {
	t.Parallel()
	documented := []int{400, 401, 403, 404, 405, 409, 410, 413, 415, 417, 418, 419, 420, 421, 422, 429, 456, 500, 503, 513}
	others := []int{302, 307, 402, 407, 408, 451, 499, 502, 504, 511}
	for op, call := range callOf {
		for _, status := range append(documented, others...) {
			failure := func(body string) *wildfire.APIError {
				c := client(t, "https://wildfire.example.test", wildfire.StaticToken("s3cr3t"), func(cfg *wildfire.Config) {
					cfg.Transport = &answering{status: status, body: body}
				})
				api, _ := errors.AsType[*wildfire.APIError](call(t.Context(), c))
				if api == nil {
					t.Fatalf("%s, %d, %.20q: no APIError", op, status, body)
				}

				return api
			}
			for _, ofWildFire := range []string{vendorError, "<error><error-mess", "<wildfire/>", "\n<submission><error/></submission>"} {
				if api := failure(ofWildFire); api.Foreign != nil || api.MaybeDone {
					t.Errorf("%s, %d, %.20q: foreign %v, may be done %v", op, status, ofWildFire, api.Foreign, api.MaybeDone)
				}
			}

			for name, tt := range foreignAnswers {
				api := failure(tt.body)
				known := strings.TrimSpace(tt.body) == "" && !contains(others, status)
				if (api.Foreign == nil) != known {
					t.Errorf("%s, %d, %s: foreign %v", op, status, name, api.Foreign)
				}

				gateway := (status == 502 || status == 504) && op != wildfire.OpTestFile
				if api.MaybeDone != gateway {
					t.Errorf("%s, %d, %s: may be done %v", op, status, name, api.MaybeDone)
				}
			}
		}
	}
}

func contains(all []int, one int) bool {
	for _, n := range all {
		if n == one {
			return true
		}
	}

	return false
}

// TestErrorNamesAForeignAnswer: the error says who answered, and shows nothing else of the answer.
func TestErrorNamesAForeignAnswer(t *testing.T) {
	t.Parallel()
	page := func(title string) string {
		return "<html><head><title>" + title + "</title></head><body>canary</body></html>"
	}
	tests := map[string]struct{ title, want string }{
		"plain":      {"Web Filter: Access Denied", `text/html "Web Filter: Access Denied"`},
		"entities":   {"A &lt;b&gt; &quot;c&quot;", `text/html "A <b> \"c"`},
		"credential": {"no s3cr3t-token for you", `text/html "no [credential] for you"`},
		"URL":        {"blocked https://u:pw@host/?q=canary now", `text/html "blocked [url] now"`},
		"lines":      {"a\r\n\tb\x1b[31m", `text/html "a b?[31m"`},
		"long":       {strings.Repeat("x", 500), `text/html "` + strings.Repeat("x", 80) + `"`},
		"none":       {" ", "text/html"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, status := range []int{200, 403} {
				c := client(t, "https://wildfire.example.test", wildfire.StaticToken("s3cr3t-token"), func(cfg *wildfire.Config) {
					cfg.Transport = &answering{status: status, body: page(tt.title)}
				})
				_, err := c.SubmitFile(t.Context(), file("a.exe", contents))
				if want := "something between here and WildFire: " + tt.want; err == nil || !strings.HasSuffix(err.Error(), want) {
					t.Errorf("%d: got %v, want it to end in %s", status, err, want)
				}
				if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "s3cr3t") {
					t.Errorf("%d: the error shows too much: %v", status, err)
				}
			}
		})
	}
}

// TestTruncatedReceiptIsASubmission: an answer with WildFire's root element counts as WildFire's,
// however little follows.
func TestTruncatedReceiptIsASubmission(t *testing.T) {
	t.Parallel()
	receipt := `<?xml version="1.0" encoding="UTF-8"?>
<wildfire>
    <upload-file-info>
        <sha256>` + sha256Of(contents) + `</sha256>
    </upload-file-info>
</wildfire>
`
	root := strings.Index(receipt, "<wildfire>") + len("<wildfire>")
	for end := range receipt {
		for name, broken := range map[string]bool{"cut short": false, "broken off": true} {
			c := client(t, "https://wildfire.example.test", wildfire.StaticToken("s3cr3t"), func(cfg *wildfire.Config) {
				cfg.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					_, _ = io.Copy(io.Discard, r.Body)
					var body io.Reader = strings.NewReader(receipt[:end])
					if broken {
						body = io.MultiReader(body, &failing{io.ErrUnexpectedEOF})
					}

					return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(body)}, nil
				})
			})
			got, err := c.SubmitFile(t.Context(), file("a.exe", contents))
			api, _ := errors.AsType[*wildfire.APIError](err)
			switch want := wildfire.ErrTransport; {
			case end >= root:
				if err != nil || got.SHA256 != sha256Of(contents) {
					t.Errorf("%s after %d bytes: got %+v, %v; want a submission", name, end, got, err)
				}
			case !broken:
				want = wildfire.ErrForeignAnswer
				fallthrough
			default:
				if !errors.Is(err, want) || got != (wildfire.Submission{}) || !api.MaybeDone {
					t.Errorf("%s after %d bytes: got %+v, %v; want %v", name, end, got, err, want)
				}
			}
		}
	}
}

// TestTruncatedErrorDocumentIsARejection: a truncated refusal is still a refusal.
func TestTruncatedErrorDocumentIsARejection(t *testing.T) {
	t.Parallel()
	for op, call := range callOf {
		c := client(t, "https://wildfire.example.test", wildfire.StaticToken("s3cr3t"), func(cfg *wildfire.Config) {
			cfg.Transport = &answering{status: 200, body: "<?xml version=\"1.0\"?>\n<error>\n  <error-mess"}
		})
		if err := call(t.Context(), c); !errors.Is(err, wildfire.ErrRejected) {
			t.Errorf("%s: got %v, want ErrRejected", op, err)
		}
	}
}

// TestNoticeInsteadOfASampleIsForeign: a scanner's notice with status 200 does not count as the
// sample.
func TestNoticeInsteadOfASampleIsForeign(t *testing.T) {
	t.Parallel()
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("s3cr3t"), func(cfg *wildfire.Config) {
		cfg.Transport = &answering{status: 200, body: "virus found\n", header: contentType("text/plain")}
	})
	if _, err := c.Sample(t.Context(), anyHash, io.Discard); !errors.Is(err, wildfire.ErrForeignAnswer) {
		t.Errorf("got %v, want ErrForeignAnswer", err)
	}
}
