package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// reloadInterval is how long a token is used before its file is read again.
const reloadInterval = time.Second

// Reasons to refuse a request.
var (
	errNoBearer = errors.New("no bearer token")
	errUnknown  = errors.New("unknown token")
	errNoTokens = errors.New("no token is readable")
)

// client is the owner of a token.
type client struct {
	Token
	limiter       *rate.Limiter // nil for none
	maxInProgress int64         // most concurrent submissions
	inProgress    atomic.Int64

	// Guarded by keyring.mu.
	digest   [sha256.Size]byte
	readable bool // its file is readable
}

type clientKey struct{}

// clientOf returns the token's owner of an authenticated request.
func clientOf(r *http.Request) *client {
	h, _ := r.Context().Value(clientKey{}).(*client)

	return h
}

// keyring has all tokens.
type keyring struct {
	clients []*client
	faults  zerolog.Logger // rate-limited
	refused zerolog.Logger // rate-limited

	mu         sync.Mutex
	reloadedAt time.Time
}

// newKeyring reads every token and returns an error if one is unreadable. If a token becomes
// unreadable later, only its clients are refused.
func newKeyring(tokens []Token, log zerolog.Logger) (*keyring, error) {
	k := &keyring{
		faults:  log.Sample(&zerolog.BurstSampler{Burst: 2, Period: time.Minute}),
		refused: log.Sample(&zerolog.BurstSampler{Burst: 5, Period: time.Minute}),
	}
	for i, t := range tokens {
		h := &client{Token: t, maxInProgress: maxSubmissions}
		if len(tokens) > 1 {
			h.maxInProgress = maxSubmissions / 2
		}
		if t.Rate > 0 {
			h.limiter = rate.NewLimiter(rate.Limit(t.Rate), t.Burst)
		}
		if err := h.reload(); err != nil {
			return nil, fmt.Errorf("api.token[%d].file: %w", i, err)
		}

		k.clients = append(k.clients, h)
	}

	k.reloadedAt = time.Now()

	return k, nil
}

// reload reads the token's file.
func (h *client) reload() error {
	h.readable = false
	token, err := h.Read()
	if err != nil {
		return err
	}
	h.digest = sha256.Sum256([]byte(token.Reveal()))
	h.readable = true

	return nil
}

// find returns the owner of a request's token. It compares tokens in constant time.
func (k *keyring) find(r *http.Request) (*client, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return nil, errNoBearer
	}

	scheme, presented, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, errNoBearer
	}

	digest := sha256.Sum256([]byte(strings.TrimSpace(presented)))

	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.reloadedAt) >= reloadInterval {
		for _, h := range k.clients {
			if err := h.reload(); err != nil {
				k.faults.Error().Err(err).Str("source", h.Source).Msg("cannot read an API token; its clients are refused")
			}
		}

		k.reloadedAt = time.Now()
	}

	var found *client
	anyReadable := false
	for _, h := range k.clients {
		anyReadable = anyReadable || h.readable
		if subtle.ConstantTimeCompare(digest[:], h.digest[:]) == 1 && h.readable {
			found = h
		}
	}

	switch {
	case found != nil:
		return found, nil
	case !anyReadable:
		return nil, errNoTokens
	}

	return nil, errUnknown
}
