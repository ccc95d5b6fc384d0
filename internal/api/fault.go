package api

import (
	"fmt"
	"net/http"
)

// fault is a client error, with the problem to send.
type fault struct {
	status       int
	kind, detail string
}

func (f *fault) Error() string { return f.detail }

func badRequest(format string, a ...any) error {
	return &fault{http.StatusBadRequest, "invalid-request", fmt.Sprintf(format, a...)}
}

// unsupported returns a fault for a body with an encoding that would have to be decoded first.
func unsupported(format string, a ...any) error {
	return &fault{http.StatusUnsupportedMediaType, "unsupported-media", fmt.Sprintf(format, a...)}
}
