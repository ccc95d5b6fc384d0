package ui

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
)

// The parts of the page. page.html has placeholders for the other two.
var (
	//go:embed page.html
	html string
	//go:embed page.css
	style string
	//go:embed page.js
	script string
)

// page serves the page on / and on /index.html; every other path is not found.
func page() http.HandlerFunc {
	body := []byte(strings.NewReplacer("/* page.css */", style, "/* page.js */", script).Replace(html))
	policy := strings.Join([]string{
		"default-src 'none'",
		"script-src " + cspHash(script),
		"style-src " + cspHash(style),
		"connect-src 'self'",
		"img-src data:", // the icon is inline
		"base-uri 'none'",
		"form-action 'none'",
		"frame-ancestors 'none'",
		"require-trusted-types-for 'script'",
		"trusted-types 'none'",
	}, "; ")

	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" && r.URL.Path != "/index.html" {
			http.NotFound(w, r)
			return
		}

		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", policy)
		_, _ = bytes.NewReader(body).WriteTo(w) // the client may be gone
	}
}

// cspHash returns the hash source of an inline element's text for a Content-Security-Policy (CSP
// Level 3, section 8.3).
func cspHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
