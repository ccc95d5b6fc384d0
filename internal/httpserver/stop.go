package httpserver

import (
	"context"
	"net/http"
)

// stopping is the context key of a context that ends when the server begins to stop.
type stopping struct{}

// UntilStop returns a context that ends with the request, or when the server begins to stop. It is
// for endless responses; other requests may finish.
func UntilStop(r *http.Request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(r.Context())
	stop, ok := ctx.Value(stopping{}).(context.Context)
	if !ok { // not served by this package
		return ctx, cancel
	}
	detach := context.AfterFunc(stop, cancel)

	return ctx, func() { detach(); cancel() }
}
