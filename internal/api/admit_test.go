package api

import (
	"errors"
	"net/http/httptest"
	"testing"

	"golang.org/x/time/rate"
)

// A submission that is refused because others are in progress does not count against the token's
// rate. One that is refused because of the rate does not stay in progress.
func TestRefusedSubmissionsDoNotCount(t *testing.T) {
	t.Parallel()
	s := &service{}
	c := &client{limiter: rate.NewLimiter(1e-6, 1), maxInProgress: 1}
	admit := func() (func(), int) {
		w := httptest.NewRecorder()
		release, err := s.admit(w, c)
		if err != nil {
			if w.Header().Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			f, _ := errors.AsType[*fault](err)
			return nil, f.status
		}
		return release, 202
	}
	c.inProgress.Add(1)
	for range 3 {
		if _, status := admit(); status != 503 {
			t.Errorf("busy: %d", status)
		}
	}
	c.inProgress.Add(-1)
	release, status := admit()
	if status != 202 {
		t.Fatalf("the first submission: %d", status)
	}
	release()
	if _, status := admit(); status != 429 {
		t.Errorf("the second submission: %d", status)
	}
	if all, own := s.inProgress.Load(), c.inProgress.Load(); all != 0 || own != 0 {
		t.Errorf("in progress: %d, %d", all, own)
	}
}
