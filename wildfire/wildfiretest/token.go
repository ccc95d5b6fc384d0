package wildfiretest

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"
)

// serveToken performs the client credentials grant (RFC 6749, section 4.4). The credentials are in
// a Basic header, raw or form-encoded, or in the form.
func (x *exchange) serveToken() {
	x.r.Body = http.MaxBytesReader(x.w, x.r.Body, 64<<10)
	if !strings.HasPrefix(x.r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") || x.r.ParseForm() != nil {
		x.oauthError(http.StatusBadRequest, "invalid_request", "Invalid Request")
		return
	}

	form := x.r.PostForm
	id, secret := form.Get("client_id"), form.Get("client_secret")
	if basicID, basicSecret, ok := x.r.BasicAuth(); ok {
		id, secret = basicID, basicSecret
	}

	x.call.Token = id
	if form.Get("grant_type") != "client_credentials" {
		x.oauthError(http.StatusBadRequest, "unsupported_grant_type", "Grant type is not supported")
		return
	}

	id, account, ok := x.server.auth.authenticate(id, secret)
	if !ok {
		x.oauthError(http.StatusUnauthorized, "invalid_client", "Client authentication failed")
		return
	}

	x.call.Token = id
	scope := form.Get("scope")
	if account.tsg != "" && scope != "tsg_id:"+account.tsg {
		x.oauthError(http.StatusBadRequest, "invalid_scope", "The requested scope is invalid")
		return
	}

	answer, _ := json.Marshal(map[string]any{
		"access_token": x.server.auth.issue(id, x.server.now()),
		"scope":        strings.TrimSpace("profile " + scope + " email"), // a wider scope than requested, as from the real service
		"token_type":   "Bearer",
		"expires_in":   int(x.server.auth.lifetime / time.Second),
	})
	x.w.Header().Set("Cache-Control", "no-store")
	x.send(http.StatusOK, "application/json;charset=UTF-8", answer)
}

func (x *exchange) oauthError(status int, code, description string) {
	body, _ := json.Marshal(map[string]string{"error": code, "error_description": description})
	x.send(status, "application/json;charset=UTF-8", body)
}

// Revoke makes a token or an API key invalid.
func (s *Server) Revoke(token string) {
	s.auth.state.mu.Lock()
	defer s.auth.state.mu.Unlock()
	s.auth.state.revoked[token] = struct{}{}
}

// RevokeAll makes all issued tokens invalid.
func (s *Server) RevokeAll() {
	s.auth.state.mu.Lock()
	defer s.auth.state.mu.Unlock()
	for token := range s.auth.state.issued {
		s.auth.state.revoked[token] = struct{}{}
	}
}
