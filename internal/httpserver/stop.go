package httpserver

import (
	"context"
	"net/http"
)

// stopping is the key of a context that ends when the server begins to stop.
type stopping struct{}

// UntilStop gives a context that ends with the request, and as soon as the server begins to stop:
// for answers that would go on. Other requests get their time to end.
func UntilStop(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	stop, ok := ctx.Value(stopping{}).(context.Context)
	if !ok { // another server
		return ctx, cancel
	}
	ended := context.AfterFunc(stop, cancel)

	return ctx, func() { ended(); cancel() }
}
