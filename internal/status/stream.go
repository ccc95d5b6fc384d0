package status

import (
	"context"
	"net/http"
	"time"
)

// streaming lets a handler write for as long as its client reads. The server's deadlines are
// for answers that end: the one for reading would end the request's context after
// some seconds, the one for writing the answer after a minute. So the first is taken
// off, and the second is left to the handler, which must set one for each write.
//
// The request's context ends with stop, so that a stop of the server need not wait for
// clients that would never leave.
func streaming(stop context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		// Writers without deadlines, as those of tests, have none to take off.
		_ = control.SetReadDeadline(time.Time{})
		_ = control.SetWriteDeadline(time.Time{})
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stop, cancel)()
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}
