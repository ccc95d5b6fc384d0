// Command consumer prints final events: consumer DURABLE [HOW-MANY]
//
// It reads through a durable that an operator has created (docs/events.md), with the permissions of
// `backburn acl consumer`. It connects to NATS_URL with NATS_USER and NATS_PASSWORD.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"log"
	"os"
	"os/signal"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/results"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("usage: consumer DURABLE [HOW-MANY]")
	}

	durable, wanted := os.Args[1], 0
	if len(os.Args) > 2 {
		wanted = must(strconv.Atoi(os.Args[2]))
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()

	nc := must(nats.Connect(cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL),
		nats.CustomInboxPrefix("_INBOX_backburn_consumer-"+durable),
		nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD"))))
	defer nc.Close()
	js := must(jetstream.NewWithAPIPrefix(nc, cmp.Or(os.Getenv("NATS_API_PREFIX"), "backburn.api")))

	// Events are delivered at least once. A real consumer stores the IDs durably.
	seen := map[string]bool{}
	sub := results.NewSubscriber(js, results.SubscriberConfig{Durable: durable})
	err := sub.Run(ctx, func(_ context.Context, e results.Event) error {
		id := e.Data.Source + "/" + e.ID()
		if !e.Type.Final() || seen[id] {
			return nil
		}

		seen[id] = true
		if err := json.NewEncoder(os.Stdout).Encode(e); err != nil {
			return err
		}
		if len(seen) == wanted {
			return results.ErrStop
		}

		return nil
	})
	if err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
