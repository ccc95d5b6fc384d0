// Command gateway hands files in: gateway SOURCE FILE...
//
// It reaches the server by NATS_URL, and NATS_USER with NATS_PASSWORD, or NATS_TOKEN. With
// permissions of `backburn acl gateway`, NATS_API_PREFIX is "backburn.api".
package main

import (
	"cmp"
	"context"
	"io"
	"log"
	"os"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: gateway SOURCE FILE...")
	}
	source := os.Args[1]
	nc := must(nats.Connect(cmp.Or(os.Getenv("NATS_URL"), nats.DefaultURL), nats.CustomInboxPrefix("_INBOX_backburn_gateway-"+source),
		nats.UserInfo(os.Getenv("NATS_USER"), os.Getenv("NATS_PASSWORD")), nats.Token(os.Getenv("NATS_TOKEN"))))
	defer nc.Close()
	js := must(jetstream.NewWithAPIPrefix(nc, cmp.Or(os.Getenv("NATS_API_PREFIX"), "$JS.API")))
	in := must(queue.AttachPublisher(context.Background(), js, "backburn"))
	for _, name := range os.Args[2:] {
		info := must(os.Stat(name))
		j := pipeline.Job{ID: source + "-" + nats.NewInbox()[7:], Source: source, Priority: pipeline.Normal, Filename: filepath.Base(name)}
		must(in.Submit(context.Background(), j, queue.FromFile(info.Size(), func() (io.ReadCloser, error) { return os.Open(name) })))
		log.Printf("%s is job %s", name, j.ID)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
