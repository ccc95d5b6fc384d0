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

// tokenAge is how long a token is used before its file is read again.
const tokenAge = time.Second

// Reasons to refuse a request.
var (
	errNoBearer = errors.New("no bearer token")
	errUnknown  = errors.New("unknown token")
	errNoTokens = errors.New("no token is readable")
)

// holder is the owner of a token.
type holder struct {
	Token
	limiter    *rate.Limiter // nil for none
	share      int64         // most concurrent submissions
	inProgress atomic.Int64

	// Guarded by keyring.mu.
	digest [sha256.Size]byte
	known  bool // its file is readable
}

type holderKey struct{}

// holderOf returns the token's owner of an authenticated request.
func holderOf(r *http.Request) *holder {
	h, _ := r.Context().Value(holderKey{}).(*holder)

	return h
}

// keyring has all tokens.
type keyring struct {
	holders []*holder
	faults  zerolog.Logger // rate-limited
	refused zerolog.Logger // rate-limited

	mu   sync.Mutex
	read time.Time
}

// newKeyring reads every token and returns an error if one is unreadable. If a token becomes
// unreadable later, only its clients are refused.
func newKeyring(tokens []Token, log zerolog.Logger) (*keyring, error) {
	k := &keyring{
		faults:  log.Sample(&zerolog.BurstSampler{Burst: 2, Period: time.Minute}),
		refused: log.Sample(&zerolog.BurstSampler{Burst: 5, Period: time.Minute}),
	}
	for i, t := range tokens {
		h := &holder{Token: t, share: submissions}
		if len(tokens) > 1 {
			h.share = submissions / 2
		}
		if t.Rate > 0 {
			h.limiter = rate.NewLimiter(rate.Limit(t.Rate), t.Burst)
		}
		if err := h.renew(); err != nil {
			return nil, fmt.Errorf("api.token[%d].file: %w", i, err)
		}

		k.holders = append(k.holders, h)
	}

	k.read = time.Now()

	return k, nil
}

// renew reads the token's file.
func (h *holder) renew() error {
	h.known = false
	token, err := h.Read()
	if err != nil {
		return err
	}
	h.digest = sha256.Sum256([]byte(token.Reveal()))
	h.known = true

	return nil
}

// holder finds the owner of a request's token, in constant time.
func (k *keyring) holder(r *http.Request) (*holder, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return nil, errNoBearer
	}

	scheme, shown, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, errNoBearer
	}

	digest := sha256.Sum256([]byte(strings.TrimSpace(shown)))

	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Since(k.read) >= tokenAge {
		for _, h := range k.holders {
			if err := h.renew(); err != nil {
				k.faults.Error().Err(err).Str("source", h.Source).Msg("cannot read an API token; its clients are refused")
			}
		}

		k.read = time.Now()
	}

	var found *holder
	any := false
	for _, h := range k.holders {
		any = any || h.known
		if subtle.ConstantTimeCompare(digest[:], h.digest[:]) == 1 && h.known {
			found = h
		}
	}

	switch {
	case found != nil:
		return found, nil
	case !any:
		return nil, errNoTokens
	}

	return nil, errUnknown
}
