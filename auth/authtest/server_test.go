package authtest_test

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"backburn/auth/authtest"
)

// TestServerAnswersOthersWhileARequestHangs: a hanging request does not block the methods of the
// server, and its status is recorded.
func TestServerAnswersOthersWhileARequestHangs(t *testing.T) {
	t.Parallel()
	server := authtest.NewServer(authtest.Config{ClientID: "id", ClientSecret: "secret"})
	defer server.Close()

	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"id"}, "client_secret": {"secret"}}.Encode()
	post := func(ctx context.Context) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, server.TokenURL(), strings.NewReader(form))
		if err != nil {
			t.Error(err)
			return
		}

		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if resp, err := http.DefaultClient.Do(r); err == nil {
			_ = resp.Body.Close()
		}
	}

	server.Fail(authtest.Fault{Hang: true}, authtest.Fault{Status: 503})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{}, 2)
	for range 2 {
		go func() { post(ctx); ended <- struct{}{} }()
	}

	<-ended // the other one hangs
	post(ctx)
	var got []int
	for _, r := range server.Requests() {
		got = append(got, r.Status)
	}
	if !slices.Equal(got, []int{0, 503, 200}) {
		t.Errorf("the requests have the status %v, want 0, 503 and 200", got)
	}

	cancel()
	<-ended
}
