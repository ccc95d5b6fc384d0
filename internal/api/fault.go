package api

import (
	"fmt"
	"net/http"
)

// fault is an error that is the client's, with the problem that it becomes.
type fault struct {
	status       int
	kind, detail string
}

func (f *fault) Error() string { return f.detail }

func bad(format string, a ...any) error {
	return &fault{http.StatusBadRequest, "invalid-request", fmt.Sprintf(format, a...)}
}

// unsupported is a body in a form that would have to be undone before it is the file.
func unsupported(format string, a ...any) error {
	return &fault{http.StatusUnsupportedMediaType, "unsupported-media", fmt.Sprintf(format, a...)}
}
