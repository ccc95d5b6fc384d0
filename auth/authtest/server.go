package authtest

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/go-oauth2/oauth2/v4"
	"github.com/go-oauth2/oauth2/v4/errors"
	"github.com/go-oauth2/oauth2/v4/generates"
	"github.com/go-oauth2/oauth2/v4/manage"
	"github.com/go-oauth2/oauth2/v4/models"
	"github.com/go-oauth2/oauth2/v4/server"
)

// Config describes the server's only client and the server's behavior. Comments state the meaning
// of zero values.
type Config struct {
	ClientID     string
	ClientSecret string
	ClientAuth   string        // the only style accepted: "basic-raw", "basic-form" or "body"; empty: "body" and "basic-raw"
	Lifetime     time.Duration // of access tokens; 0: 900 s
	Scope        string        // the only scope granted; empty: any
	RedirectURL  string        // the only URL that codes are sent to
	InstanceID   string        // must come with authorization requests; empty: any

	Roll   bool // a refresh returns a new refresh token; false: none is returned, and the old one stays valid
	Strict bool // with Roll, the old refresh token expires at once; false: when the new one is first used

	APIKey string // WatchGuard-API-Key that Protect requires; empty: none
}

// Server is an authorization server on the loopback interface. All of its methods are safe
// for concurrent use.
type Server struct {
	URL string // base URL, without a trailing slash

	config  Config
	http    *httptest.Server
	oauth   *server.Server
	manager *manage.Manager
	store   *store

	mu       sync.Mutex // held while a token request is processed
	secret   string
	roll     bool
	faults   []Fault
	edit     func(map[string]any)
	requests []Request
	issued   []string
	replaced map[string]string // by refresh token: the older refresh token that it replaced
	revoked  []string
}

// Request is a token request as it arrived.
type Request struct {
	Header http.Header
	Form   url.Values
	Status int // of the answer; 0 without one
}

// Fault replaces one answer of the token endpoint.
type Fault struct {
	Status int
	Header map[string]string
	Body   string
	Hang   bool // do not answer until the client gives up
	Cut    bool // close the connection in the middle of the body
	Act    bool // perform the grant, then cut the answer
}

// NewServer starts a server. Close it.
func NewServer(config Config) *Server {
	if config.Lifetime == 0 {
		config.Lifetime = 900 * time.Second
	}

	s := &Server{
		config: config, secret: config.ClientSecret, roll: config.Roll, store: newStore(), manager: manage.NewManager(),
		replaced: map[string]string{},
	}
	s.manager.MapAuthorizeGenerate(generates.NewAuthorizeGenerate())
	s.manager.MapAccessGenerate(generates.NewAccessGenerate())
	s.manager.MapTokenStorage(s.store)
	s.manager.MapClientStorage(clients{s})
	s.manager.SetClientTokenCfg(&manage.Config{AccessTokenExp: config.Lifetime})
	s.manager.SetAuthorizeCodeTokenCfg(&manage.Config{AccessTokenExp: config.Lifetime, IsGenerateRefresh: true})
	s.manager.SetValidateURIHandler(func(base, redirect string) error {
		if base != redirect {
			return errors.ErrInvalidRedirectURI
		}

		return nil
	})
	s.oauth = server.NewDefaultServer(s.manager)
	s.oauth.SetAllowedGrantType(oauth2.ClientCredentials, oauth2.AuthorizationCode, oauth2.Refreshing)
	s.oauth.SetClientInfoHandler(s.clientInfo)
	s.oauth.SetClientScopeHandler(func(r *oauth2.TokenGenerateRequest) (bool, error) {
		return config.Scope == "" || r.Scope == config.Scope, nil
	})
	s.oauth.SetUserAuthorizationHandler(s.authorizeUser)
	s.oauth.SetResponseTokenHandler(s.respond)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /oauth/token", s.serveToken)
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) { _ = s.oauth.HandleAuthorizeRequest(w, r) })
	mux.HandleFunc("POST /revoke", s.serveRevocation)
	s.http = httptest.NewServer(mux)
	s.URL = s.http.URL

	return s
}

// Close stops the server.
func (s *Server) Close() { s.http.Close() }

// TokenURL, AuthorizeURL and RevokeURL are the endpoints.
func (s *Server) TokenURL() string     { return s.URL + "/oauth/token" }
func (s *Server) AuthorizeURL() string { return s.URL + "/authorize" }
func (s *Server) RevokeURL() string    { return s.URL + "/revoke" }

// SetSecret changes the client's secret, as a reset in the vendor's console does.
func (s *Server) SetSecret(secret string) { s.locked(func() { s.secret = secret }) }

// SetRoll sets whether a refresh returns a new refresh token.
func (s *Server) SetRoll(roll bool) { s.locked(func() { s.roll = roll }) }

// Fail answers the next token requests with the faults, one fault for each request.
func (s *Server) Fail(faults ...Fault) { s.locked(func() { s.faults = append(s.faults, faults...) }) }

// Edit makes edit modify each successful answer before it is sent. A nil edit ends this.
func (s *Server) Edit(edit func(answer map[string]any)) { s.locked(func() { s.edit = edit }) }

// Requests returns the token requests so far.
func (s *Server) Requests() (out []Request) {
	s.locked(func() { out = slices.Clone(s.requests) })
	return out
}

// Issued returns every access and refresh token issued so far, oldest first.
func (s *Server) Issued() (out []string) {
	s.locked(func() { out = slices.Clone(s.issued) })
	return out
}

// Revoked returns the tokens that were revoked at RevokeURL.
func (s *Server) Revoked() (out []string) {
	s.locked(func() { out = slices.Clone(s.revoked) })
	return out
}

// Revoke makes an access token invalid, as an administrator does.
func (s *Server) Revoke(access string) { _ = s.store.RemoveByAccess(context.Background(), access) }

// RevokeGrant makes a refresh token invalid.
func (s *Server) RevokeGrant(refresh string) {
	_ = s.store.RemoveByRefresh(context.Background(), refresh)
}

// locked calls f with mu held.
func (s *Server) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// serveToken serves the token endpoint.
func (s *Server) serveToken(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Content-Type") == "application/json" {
		var fields map[string]string
		if json.NewDecoder(r.Body).Decode(&fields) != nil {
			http.Error(w, "bad JSON", http.StatusBadRequest)
			return
		}

		r.Form = url.Values{}
		for k, v := range fields {
			r.Form.Set(k, v)
		}

		r.PostForm = r.Form
	}

	_ = r.ParseForm()
	rec := httptest.NewRecorder()
	var fault *Fault
	s.locked(func() {
		if len(s.faults) > 0 {
			fault, s.faults = &s.faults[0], s.faults[1:]
		}
		if fault == nil || fault.Act {
			s.grant(rec, r)
		}

		status := rec.Code
		if fault != nil {
			status = fault.status()
		}
		s.requests = append(s.requests, Request{r.Header.Clone(), r.Form, status})
	})
	if fault != nil {
		fault.serve(w, r)
		return
	}

	for k, v := range rec.Header() {
		w.Header()[k] = v
	}

	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

// grant performs the grant with go-oauth2. It checks the secret of a client that refreshes, because
// real servers do, and the library does not.
func (s *Server) grant(w http.ResponseWriter, r *http.Request) {
	s.manager.SetRefreshTokenCfg(&manage.RefreshingConfig{IsGenerateRefresh: s.roll, IsRemoveRefreshing: s.roll && s.config.Strict})
	if id, secret, err := s.clientInfo(r); r.Form.Get("grant_type") == "refresh_token" && (err != nil || id != s.config.ClientID || secret != s.secret) {
		data, status, header := s.oauth.GetErrorData(errors.ErrInvalidClient)
		_ = s.respond(w, data, header, status)

		return
	}

	issued := len(s.issued)
	_ = s.oauth.HandleTokenRequest(w, r)
	used := r.Form.Get("refresh_token")
	n := len(s.issued)
	if used == "" || n == issued {
		return
	}
	if n > issued+1 && !s.config.Strict {
		s.replaced[s.issued[n-1]] = used
	}

	if old := s.replaced[used]; old != "" {
		_ = s.store.RemoveByRefresh(r.Context(), old) // the new one is in use, so the old one expires
		delete(s.replaced, used)
	}
}

// status returns the status of the answer, or 0 without one.
func (f *Fault) status() int {
	switch {
	case f.Hang:
		return 0
	case f.Cut || f.Act:
		return http.StatusOK
	default:
		return f.Status
	}
}

// serve answers a request with the fault.
func (f *Fault) serve(w http.ResponseWriter, r *http.Request) {
	switch {
	case f.Hang:
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	case f.Cut || f.Act:
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		_, _ = io.WriteString(w, `{"access_tok`)
	default:
		for k, v := range f.Header {
			w.Header().Set(k, v)
		}

		w.WriteHeader(f.Status)
		_, _ = io.WriteString(w, f.Body)
	}
}

// respond writes the answers of go-oauth2. s.mu is held.
func (s *Server) respond(w http.ResponseWriter, data map[string]any, header http.Header, status ...int) error {
	code := http.StatusOK
	if len(status) > 0 && status[0] > 0 {
		code = status[0]
	}

	for k := range header {
		w.Header().Set(k, header.Get(k))
	}

	if access, ok := data["access_token"].(string); ok {
		s.issued = append(s.issued, access)
		if refresh, ok := data["refresh_token"].(string); ok {
			s.issued = append(s.issued, refresh)
		}
		if s.edit != nil {
			s.edit(data)
		}
	}

	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)

	return json.NewEncoder(w).Encode(data)
}

// clientInfo reads the client's id and secret in the style that the server accepts.
func (s *Server) clientInfo(r *http.Request) (id, secret string, err error) {
	if user, pass, ok := r.BasicAuth(); ok && s.config.ClientAuth != "body" {
		if s.config.ClientAuth != "basic-form" {
			return user, pass, nil
		}

		id, err1 := url.QueryUnescape(user)
		secret, err2 := url.QueryUnescape(pass)
		if err1 != nil || err2 != nil {
			return "", "", errors.ErrInvalidClient
		}

		return id, secret, nil
	}

	if s.config.ClientAuth == "" || s.config.ClientAuth == "body" {
		if id := r.Form.Get("client_id"); id != "" {
			return id, r.Form.Get("client_secret"), nil
		}
	}

	return "", "", errors.ErrInvalidClient
}

// authorizeUser grants authorization requests, and refuses those without the instance.
func (s *Server) authorizeUser(_ http.ResponseWriter, r *http.Request) (string, error) {
	if s.config.InstanceID != "" && r.FormValue("instance_id") != s.config.InstanceID {
		return "", errors.ErrAccessDenied
	}
	return "admin", nil
}

// serveRevocation serves the revocation endpoint as the hub does: it accepts JSON or a form, and
// answers success as a string.
func (s *Server) serveRevocation(w http.ResponseWriter, r *http.Request) {
	body := map[string]string{}
	w.Header().Set("Content-Type", "application/json")

	if r.Header.Get("Content-Type") == "application/json" {
		_ = json.NewDecoder(r.Body).Decode(&body) // missing fields are refused below
	} else {
		for _, name := range []string{"client_id", "client_secret", "token"} {
			body[name] = r.PostFormValue(name)
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if body["client_id"] != s.config.ClientID || body["client_secret"] != s.secret {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"invalid_client"}`)

		return
	}

	_ = s.store.RemoveByRefresh(r.Context(), body["token"])
	s.revoked = append(s.revoked, body["token"])
	_, _ = io.WriteString(w, `{"issuccess":"true"}`)
}

// Protect makes next require a valid bearer token (otherwise 401) and, if configured, the API key
// (otherwise 403).
func (s *Server) Protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.oauth.ValidationBearerToken(r); err != nil {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "", http.StatusUnauthorized)

			return
		}

		if subtle.ConstantTimeCompare([]byte(r.Header.Get("WatchGuard-API-Key")), []byte(s.config.APIKey)) != 1 {
			http.Error(w, `{"message":"Forbidden"}`, http.StatusForbidden)
			return
		}

		next.ServeHTTP(w, r)
	})
}

// clients is a store with the only client.
type clients struct{ s *Server }

func (c clients) GetByID(_ context.Context, id string) (oauth2.ClientInfo, error) {
	if id != c.s.config.ClientID {
		return nil, errors.ErrInvalidClient
	}
	return &models.Client{ID: id, Secret: c.s.secret, Domain: c.s.config.RedirectURL}, nil
}
