package main

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
	"backburn/internal/testkit/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }

// 64 slots of four nodes use several tokens: each is requested once, and no upload fails.
func TestOneTokenRequestForEachLifetime(t *testing.T) {
	t.Parallel()
	c := benchmark{Processes: 4, Slots: 16, Lifetime: 10 * time.Second, For: 32 * time.Second}
	r := c.run(t, testkit.StartNATS(t, &server.Options{}).ClientURL(), func(ctx context.Context, o processInput) (processResult, error) { return o.upload(ctx) })
	t.Log(r)
	r.check(t)
}
