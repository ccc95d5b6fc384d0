package auth

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"

	"backburn/auth/internal/oauth"
)

const audiencePath = "/rest/platform/authorization/v1/audiences"

// LookupAudience asks WatchGuard Cloud for the audience through which a service provider reaches a
// managed account (such as "WGC-1-123abc456"). Set Profile.Audience to the result, since a token is
// valid for one audience only. p itself must have no audience.
func LookupAudience(ctx context.Context, p Profile, account string, opts ...Option) (string, error) {
	if !slices.Contains(p.Kind.Keys(), "audience") || p.Audience != "" {
		return "", fmt.Errorf("auth.%s: looking up an audience needs a profile of kind %q without an audience", p.Name, KindWatchGuard)
	}

	s, err := New(p, opts...)
	if err != nil {
		return "", err
	}
	defer s.Close()
	body, err := json.Marshal(map[string]string{"accountId": account})
	if err != nil {
		return "", err
	}

	ctx, cancel := context.WithTimeout(ctx, 2*oauth.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.apiURL()+audiencePath, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("auth.%s.url: is not a URL", p.Name)
	}

	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json")
	resp, err := s.RoundTripper(s.transport).RoundTrip(req)
	if err != nil {
		return "", s.asAuthError("audience look-up", err, s.current.Load())
	}
	defer resp.Body.Close()

	return s.readAudience(resp)
}

func (s *Source) readAudience(resp *http.Response) (string, error) {
	e := &AuthError{Profile: s.profile.Name, Op: "audience look-up", Status: resp.StatusCode, Class: ErrTemporary}
	var answer struct {
		Audience string `json:"audience"`
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, oauth.MaxBody))
	switch {
	case resp.StatusCode == http.StatusUnauthorized || resp.StatusCode == http.StatusForbidden:
		e.Refuse(ErrCredentialRejected, "check the account id, the API key and the rights of the access id")
	case resp.StatusCode/100 == 4 && resp.StatusCode != http.StatusTooManyRequests:
		e.Refuse(ErrCredentialRejected, "check the account id")
	case resp.StatusCode/100 != 2:
		e.Hint = "try again later"
	case err != nil || json.Unmarshal(raw, &answer) != nil || answer.Audience == "":
		e.Desc = "the answer names no audience"
	default:
		return answer.Audience, nil
	}

	return "", e
}
