package auth

import (
	"encoding/json"
	"errors"
	"time"
)

const recordVersion = 1

// record is what the fleet knows about one credential: the token, who is getting the next
// one, which one was refused, and until when nobody is to ask. It is one key of a bucket,
// sealed, and changes by compare-and-set only: the revision is the fencing token.
type record struct {
	Version    int       `json:"v"`
	Generation uint64    `json:"generation"`         // counts tokens, never goes back
	Token      string    `json:"token,omitempty"`    // empty: none yet
	Obtained   int64     `json:"obtained,omitempty"` // Unix milliseconds, by the clock of who got it
	Life       int64     `json:"life,omitempty"`     // milliseconds; 0: without end
	Grant      uint64    `json:"grant,omitempty"`    // generation of the refresh token that it was got by
	Worked     bool      `json:"worked,omitempty"`   // a service took Token
	Rejected   string    `json:"rejected,omitempty"` // fingerprint of the token that a service refused
	Claim      *claim    `json:"claim,omitempty"`
	Cool       *coolNote `json:"cool,omitempty"`
}

// claim says that a process is at the token endpoint. It ages by the clocks of those who
// watch it: there is no time in it.
type claim struct {
	Holder string `json:"holder"` // for people
	Nonce  string `json:"nonce"`  // by which the holder knows its own
}

// coolNote is a cool-down for the whole fleet.
type coolNote struct {
	Until     int64  `json:"until"` // Unix milliseconds, by the clock of who noted it
	For       int64  `json:"for"`   // milliseconds; caps what a clock that is wrong makes of Until
	InARow    int    `json:"in_a_row"`
	Class     string `json:"class"`
	Op        string `json:"op"`
	Status    int    `json:"status,omitempty"`
	Code      string `json:"code,omitempty"`
	Desc      string `json:"desc,omitempty"`
	Hint      string `json:"hint,omitempty"`
	Permanent bool   `json:"permanent,omitempty"`
	Refused   string `json:"refused,omitempty"` // fingerprint of the fresh token that was refused, if that is why
	Grant     uint64 `json:"grant,omitempty"`   // generation of the refresh token that failed; a newer one ends the cool-down
}

var classNames = map[string]error{"temporary": ErrTemporary, "rejected": ErrCredentialRejected, "reauthorize": ErrReauthorize}

// newCoolNote notes e for the fleet for d.
func newCoolNote(e *AuthError, now time.Time, d time.Duration, inARow int) *coolNote {
	n := &coolNote{
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
			n.Class = name
		}
	}
	return n
}

// remaining returns what is left of the cool-down by this machine's clock, which may differ
// from the noter's: never more than its length.
func (n *coolNote) remaining(now time.Time) time.Duration {
	if n == nil {
		return 0
	}
	left := time.UnixMilli(n.Until).Sub(now)
	return max(min(left, time.Duration(n.For)*time.Millisecond), 0)
}

// err returns the error that the note carries.
func (n *coolNote) err(profile string, left time.Duration) *AuthError {
	class := classNames[n.Class]
	if class == nil {
		class = ErrTemporary
	}
	return &AuthError{
		Profile:    profile,
		Op:         n.Op,
		Status:     n.Status,
		Code:       n.Code,
		Desc:       n.Desc,
		Hint:       n.Hint,
		Permanent:  n.Permanent,
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
		return record{}, errors.New("record cannot be read")
	}
	if r.Version != recordVersion || r.Life < 0 {
		return record{}, errors.New("record of another version")
	}
	return r, nil
}
