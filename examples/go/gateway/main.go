// Command gateway submits files: gateway SOURCE FILE...
//
// It connects to NATS_URL with NATS_USER and NATS_PASSWORD, or NATS_TOKEN. With the permissions of
// `backburn acl gateway`, set NATS_API_PREFIX to "backburn.api".
package main

import (
	"cmp"
	"context"
	"log"
	"os"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/gateway"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: gateway SOURCE FILE...")
	}

	source := os.Args[1]

	nc := must(nats.Connect(cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL),
		nats.CustomInboxPrefix("_INBOX_backburn_gateway-"+source),
		nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")),
		nats.Token(os.Getenv("NATS_TOKEN"))))
	defer nc.Close()
	js := must(jetstream.NewWithAPIPrefix(nc, cmp.Or(os.Getenv("NATS_API_PREFIX"), "$JS.API")))

	ctx := context.Background()
	g := must(gateway.New(ctx, js, gateway.Config{Source: source}))
	for _, name := range os.Args[2:] {
		receipt := must(g.SubmitFile(ctx, gateway.Job{}, name))
		log.Printf("%s is job %s", name, receipt.JobID)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}

	return v
}
