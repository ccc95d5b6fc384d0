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

// clientOf returns the client that sent an authenticated request.
func clientOf(r *http.Request) *client {
	c, _ := r.Context().Value(clientKey{}).(*client)

	return c
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
		c := &client{Token: t, maxInProgress: maxSubmissions}
		if len(tokens) > 1 {
			c.maxInProgress = maxSubmissions / 2
		}
		if t.Rate > 0 {
			c.limiter = rate.NewLimiter(rate.Limit(t.Rate), t.Burst)
		}
		if err := c.reload(); err != nil {
			return nil, fmt.Errorf("api.token[%d].file: %w", i, err)
		}

		k.clients = append(k.clients, c)
	}

	k.reloadedAt = time.Now()

	return k, nil
}

func (c *client) reload() error {
	c.readable = false
	token, err := c.Read()
	if err != nil {
		return err
	}
	c.digest = sha256.Sum256([]byte(token.Reveal()))
	c.readable = true

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
		for _, c := range k.clients {
			if err := c.reload(); err != nil {
				k.faults.Error().Err(err).Str("source", c.Source).Msg("cannot read an API token; its clients are refused")
			}
		}

		k.reloadedAt = time.Now()
	}

	var found *client
	anyReadable := false
	for _, c := range k.clients {
		anyReadable = anyReadable || c.readable
		if subtle.ConstantTimeCompare(digest[:], c.digest[:]) == 1 && c.readable {
			found = c
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
