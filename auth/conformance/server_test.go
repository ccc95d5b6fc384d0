package conformance

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/oauth2"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
	"golang.org/x/crypto/bcrypt"
)

const (
	clientID    = "svc@1234567890.iam.panserviceaccount.com"
	scope       = "tsg_id:1234567890"
	audience    = "wgc-1"
	redirectURL = "http://127.0.0.1:8976/callback"
	lifespan    = 15 * time.Minute
)

// strict is an authorization server of fosite: it form-decodes Basic credentials, compares
// scopes and audiences exactly, replaces refresh tokens at every use and, when an old one
// is used again, revokes all tokens of the grant. Access tokens are JWTs, signed with RS256.
type strict struct {
	*httptest.Server
	provider fosite.OAuth2Provider

	mu       sync.Mutex // fosite's store in memory is not safe for concurrent refreshes
	requests int
	errors   []string
}

func serve(t *testing.T, secret string, edit func(*fosite.Config)) *strict {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}

	hash, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}

	store := storage.NewMemoryStore()
	store.Clients[clientID] = &fosite.DefaultClient{
		ID: clientID, Secret: hash, RedirectURIs: []string{redirectURL}, ResponseTypes: []string{"code"},
		GrantTypes: []string{"client_credentials", "authorization_code", "refresh_token"}, Scopes: []string{scope}, Audience: []string{audience},
	}
	config := &fosite.Config{
		AccessTokenLifespan: lifespan, GlobalSecret: []byte("0123456789abcdef0123456789abcdef"), ScopeStrategy: fosite.ExactScopeStrategy,
		AudienceMatchingStrategy: fosite.ExactAudienceMatchingStrategy, RefreshTokenScopes: []string{},
	}
	if edit != nil {
		edit(config)
	}

	getKey := func(context.Context) (any, error) { return key, nil }
	s := &strict{provider: compose.Compose(config, store, &compose.CommonStrategy{
		CoreStrategy: compose.NewOAuth2JWTStrategy(getKey, compose.NewOAuth2HMACStrategy(config), config),
		Signer:       &jwt.DefaultSigner{GetPrivateKey: getKey},
	}, compose.OAuth2AuthorizeExplicitFactory, compose.OAuth2ClientCredentialsGrantFactory, compose.OAuth2RefreshTokenGrantFactory,
		compose.OAuth2PKCEFactory, compose.OAuth2TokenIntrospectionFactory)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("GET /resource", s.resource)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)

	return s
}

func session() *oauth2.JWTSession {
	return &oauth2.JWTSession{
		JWTClaims: &jwt.JWTClaims{Subject: clientID, Issuer: "https://issuer.example"}, JWTHeader: &jwt.Headers{Extra: map[string]any{}},
		Subject: clientID,
	}
}

func (s *strict) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests++
	ctx := r.Context()
	ar, err := s.provider.NewAccessRequest(ctx, r, session())
	if err == nil {
		if ar.GetGrantTypes().ExactOne("client_credentials") {
			for _, granted := range ar.GetRequestedScopes() {
				ar.GrantScope(granted)
			}

			for _, granted := range ar.GetRequestedAudience() {
				ar.GrantAudience(granted)
			}
		}

		var resp fosite.AccessResponder
		if resp, err = s.provider.NewAccessResponse(ctx, ar); err == nil {
			s.provider.WriteAccessResponse(ctx, w, ar, resp)
			return
		}
	}

	s.errors = append(s.errors, fosite.ErrorToRFC6749Error(err).ErrorField)
	s.provider.WriteAccessError(ctx, w, ar, err)
}

func (s *strict) authorize(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ctx := r.Context()
	ar, err := s.provider.NewAuthorizeRequest(ctx, r)
	if err == nil && r.URL.Query().Get("instance_id") == "" {
		err = fosite.ErrAccessDenied
	}

	if err == nil {
		for _, granted := range ar.GetRequestedScopes() {
			ar.GrantScope(granted)
		}

		var resp fosite.AuthorizeResponder
		if resp, err = s.provider.NewAuthorizeResponse(ctx, ar, session()); err == nil {
			s.provider.WriteAuthorizeResponse(ctx, w, ar, resp)
			return
		}
	}

	s.provider.WriteAuthorizeError(ctx, w, ar, err)
}

// resource is a service that requires a token.
func (s *strict) resource(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, _, err := s.provider.IntrospectToken(r.Context(), fosite.AccessTokenFromRequest(r), fosite.AccessToken, session(), scope); err != nil {
		http.Error(w, "", http.StatusUnauthorized)
	}
}

func (s *strict) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests
}
