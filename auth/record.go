package auth

import (
	"encoding/json"
	"errors"
	"time"
)

const recordVersion = 1

// record is the fleet's state of one credential: the token, which process is requesting the next
// one, which token was refused, and the cool-down. It is the sealed value of one key in a bucket,
// and changes only by compare-and-set: the revision is the fencing token.
type record struct {
	Version    int             `json:"v"`
	Generation uint64          `json:"generation"`         // counts tokens, never decreases
	Token      string          `json:"token,omitempty"`    // empty: none yet
	Obtained   int64           `json:"obtained,omitempty"` // Unix milliseconds, by the clock of the process that got it
	Life       int64           `json:"life,omitempty"`     // milliseconds; 0: does not expire
	Grant      uint64          `json:"grant,omitempty"`    // generation of the refresh token with which it was requested
	Worked     bool            `json:"worked,omitempty"`   // a service accepted Token
	Rejected   string          `json:"rejected,omitempty"` // fingerprint of the token that a service refused
	Claim      *claim          `json:"claim,omitempty"`
	Cooldown   *sharedCooldown `json:"cool,omitempty"`
}

// claim says that a process is requesting a token. It contains no time: each observer measures its
// age with its own clock.
type claim struct {
	Holder string `json:"holder"` // host and process ID, for log messages
	Nonce  string `json:"nonce"`  // random; by it the holder recognizes its own claim
}

// sharedCooldown is a cool-down for the whole fleet.
type sharedCooldown struct {
	Until     int64  `json:"until"` // Unix milliseconds, by the clock of the process that wrote it
	For       int64  `json:"for"`   // milliseconds; limits the effect of a wrong clock on Until
	InARow    int    `json:"in_a_row"`
	Class     string `json:"class"`
	Op        string `json:"op"`
	Status    int    `json:"status,omitempty"`
	Code      string `json:"code,omitempty"`
	Desc      string `json:"desc,omitempty"`
	Hint      string `json:"hint,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
	Refused   string `json:"refused,omitempty"` // fingerprint of the refused fresh token that caused the cool-down; "" for other causes
	Grant     uint64 `json:"grant,omitempty"`   // generation of the refresh token that failed; a newer one ends the cool-down
}

var classNames = map[string]error{"temporary": ErrTemporary, "rejected": ErrCredentialRejected, "reauthorize": ErrReauthorize}

// newSharedCooldown returns a cool-down of length d because of e. inARow counts the failures in a
// row.
func newSharedCooldown(e *AuthError, now time.Time, d time.Duration, inARow int) *sharedCooldown {
	c := &sharedCooldown{
		Until:     now.Add(d).UnixMilli(),
		For:       d.Milliseconds(),
		InARow:    inARow,
		Op:        e.Op,
		Status:    e.Status,
		Code:      e.Code,
		Desc:      e.Desc,
		Hint:      e.Hint,
		Permanent: e.Permanent,
	}
	for name, class := range classNames {
		if errors.Is(e.Class, class) {
			c.Class = name
		}
	}

	return c
}

// remaining returns the rest of the cool-down by this machine's clock, and never more than its
// length, because the writer's clock may differ.
func (c *sharedCooldown) remaining(now time.Time) time.Duration {
	if c == nil {
		return 0
	}
	left := time.UnixMilli(c.Until).Sub(now)
	return max(min(left, time.Duration(c.For)*time.Millisecond), 0)
}

// authError returns the error that started the cool-down.
func (c *sharedCooldown) authError(profile string, left time.Duration) *AuthError {
	class := classNames[c.Class]
	if class == nil {
		class = ErrTemporary
	}

	return &AuthError{
		Profile:    profile,
		Op:         c.Op,
		Status:     c.Status,
		Code:       c.Code,
		Desc:       c.Desc,
		Hint:       c.Hint,
		Permanent:  c.Permanent,
		RetryAfter: left,
		Class:      class,
	}
}

func (r record) encode() ([]byte, error) {
	r.Version = recordVersion
	return json.Marshal(r)
}

func decodeRecord(plain []byte) (record, error) {
	var r record
	if err := json.Unmarshal(plain, &r); err != nil {
		return record{}, errors.New("record is not readable")
	}
	if r.Version != recordVersion || r.Life < 0 {
		return record{}, errors.New("record has an unsupported version")
	}

	return r, nil
}
