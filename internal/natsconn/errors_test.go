package natsconn_test

import (
	"errors"
	"strings"
	"testing"

	"backburn/internal/natsconn"
)

// TestConnectionLimitWithoutSentinel covers a refusal that the client reads before it writes again.
// It then returns the server's text instead of nats.ErrMaxConnectionsExceeded.
func TestConnectionLimitWithoutSentinel(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"nats: maximum connections exceeded", "nats: maximum account active connections exceeded"} {
		err := natsconn.Explain(natsconn.DefaultConfig(), errors.New(text))
		if !errors.Is(err, natsconn.ErrClosed) || !strings.Contains(err.Error(), "max_connections") {
			t.Errorf("%s: got %v", text, err)
		}
	}
}
