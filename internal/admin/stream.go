package admin

import (
	"context"
	"net/http"
	"time"
)

// streaming lets a handler write for as long as its client reads. The server's time for
// writing an answer is for answers that end, so it is taken off here, and the handler sets
// a deadline for each write of its own.
//
// The request's context ends with stop, so that a stop of the server need not wait for
// clients that would never leave.
func streaming(stop context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Writers without deadlines, as those of tests, have none to take off.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stop, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
