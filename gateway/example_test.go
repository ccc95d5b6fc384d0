package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"backburn/gateway"
)

// A mail gateway submits an attachment and does not wait for its verdict.
func Example() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	js, stop, err := startQueue(dir) // in production: a connection to the installation's NATS server
	if err != nil {
		fmt.Println(err)
		return
	}
	defer stop()

	ctx := context.Background()
	g, err := gateway.New(ctx, js, gateway.Config{Source: "mail"})
	if err != nil {
		fmt.Println(err)
		return
	}

	attachment := strings.NewReader("MZ an attachment")
	job := gateway.Job{
		ID:       "4711-1",
		Filename: "invoice.exe",
		Metadata: map[string]string{"sender": "a@example.com"},
	}
	receipt, err := g.SubmitReader(ctx, job, attachment, 100<<20)
	switch {
	case errors.Is(err, gateway.ErrFull), errors.Is(err, gateway.ErrUnavailable):
		fmt.Println("try again later, with the same ID")
	case err != nil:
		fmt.Println(err)
	default:
		fmt.Println(receipt.JobID, receipt.Size, receipt.SHA256[:8])
	}
	// Output: 4711-1 16 ce2e6e4d
}
