package wildfiretest

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	defaultTokenLifetime = 900 * time.Second
	maxTokens            = 10_000 // issued tokens that are remembered
)

// accounts has the credentials that the server accepts. Options set them before the server is used.
type accounts struct {
	strict   bool                // whether unknown credentials are refused
	lifetime time.Duration       // of issued tokens
	clients  map[string]account  // service accounts, by client ID
	static   map[string]struct{} // bearer tokens of WithToken
	keys     map[string]struct{} // API keys
	state    *accountState
}

type account struct{ secret, tsg string }

// accountState has the issued tokens and the revoked ones. It is safe for concurrent use.
type accountState struct {
	mu      sync.Mutex
	issued  map[string]issued
	order   []string // issued tokens, oldest first
	revoked map[string]struct{}
	count   int // of all issued tokens
}

type issued struct {
	client  string
	expires time.Time
}

func newAccounts() accounts {
	return accounts{
		lifetime: defaultTokenLifetime,
		clients:  make(map[string]account),
		static:   make(map[string]struct{}),
		keys:     make(map[string]struct{}),
		state:    &accountState{issued: make(map[string]issued), revoked: make(map[string]struct{})},
	}
}

// owner returns the owner of the quota that a credential uses, or false if the credential is
// refused.
func (a *accounts) owner(token string, key bool, now time.Time) (string, bool) {
	if token == "" {
		return "", false
	}

	a.state.mu.Lock()
	defer a.state.mu.Unlock()
	if _, ok := a.state.revoked[token]; ok {
		return "", false
	}

	if key {
		if _, ok := a.keys[token]; ok || !a.strict {
			return "key:" + token, true
		}

		return "", false
	}

	if t, ok := a.state.issued[token]; ok {
		return "client:" + t.client, now.Before(t.expires)
	}
	if _, ok := a.static[token]; ok || !a.strict {
		return "token:" + token, true
	}

	return "", false
}

// issue creates a token for a client.
func (a *accounts) issue(client string, now time.Time) string {
	a.state.mu.Lock()
	defer a.state.mu.Unlock()
	a.state.count++
	// The token has about the length of the service's, which is an opaque JWT of 1 KB.
	token := "simulated." + strconv.Itoa(a.state.count) + "." + strings.Repeat("0123456789abcdef", 60)
	a.state.issued[token] = issued{client: client, expires: now.Add(a.lifetime)}
	a.state.order = append(a.state.order, token)
	if len(a.state.order) > maxTokens {
		oldest := a.state.order[0]
		a.state.order = a.state.order[1:]
		delete(a.state.issued, oldest)
		delete(a.state.revoked, oldest)
	}

	return token
}

// bearer returns the token in the Authorization header.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// authenticate accepts the credentials in plain form and form-encoded (RFC 6749, section 2.3.1). If
// no client is registered, it accepts all except empty ones.
func (a *accounts) authenticate(id, secret string) (string, account, bool) {
	if len(a.clients) == 0 {
		return id, account{}, id != "" && secret != ""
	}
	if known, ok := a.clients[id]; ok && known.secret == secret {
		return id, known, true
	}

	id, err := url.QueryUnescape(id)
	if err != nil {
		return "", account{}, false
	}
	if secret, err = url.QueryUnescape(secret); err != nil {
		return "", account{}, false
	}

	known, ok := a.clients[id]

	return id, known, ok && known.secret == secret
}
