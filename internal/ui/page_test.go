package ui_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"backburn/internal/ui"
)

func get(path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	ui.New(ui.Config{}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

// The page loads no other resources, and its policy allows none.
func TestPageIsWhole(t *testing.T) {
	t.Parallel()
	w := get("/")
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d %v", w.Code, w.Header())
	}

	policy := w.Header().Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'",
		"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'", "require-trusted-types-for 'script'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy is %s\nwithout %s", policy, want)
		}
	}

	if strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %s", policy)
	}

	body := w.Body.String()
	if len(body) > 150_000 {
		t.Errorf("the page weighs %d bytes", len(body))
	}

	for _, bad := range []string{`(?i)<link[^>]+href="http`, `(?i)\ssrc=`, `(?i)@import`, `(?i)\sstyle=`, `(?i)\son[a-z]+="`, `innerHTML|insertAdjacent|document\.write|eval\(`, `page\.(css|js)`} {
		if found := regexp.MustCompile(bad).FindString(body); found != "" {
			t.Errorf("the page has %q", found)
		}
	}
}

func TestOtherPaths(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]int{"/": 200, "/index.html": 200, "/page.js": 404, "/favicon.ico": 404, "/api/nothing": 404} {
		if got := get(path).Code; got != want {
			t.Errorf("%s: %d, want %d", path, got, want)
		}
	}
}
