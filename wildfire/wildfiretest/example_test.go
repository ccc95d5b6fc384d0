package wildfiretest_test

import (
	"context"
	"fmt"
	"io"
	"strings"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// Use the simulated service to test a program that submits files: the quota is used up, and the
// test reads the server's records.
func Example() {
	server := wildfiretest.New(wildfiretest.WithDelay(0), wildfiretest.WithQuota(1, 0))
	web := server.Start()
	defer web.Close()

	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = web.URL
	client, err := wildfire.New(cfg, wildfire.StaticToken("test"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	ctx := context.Background()
	contents := "wildfire-test:phishing"
	file := wildfire.File{
		Name: "letter.html",
		Size: int64(len(contents)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(contents)), nil },
	}
	submission, err := client.SubmitFile(ctx, file)
	if err != nil {
		fmt.Println(err)
		return
	}

	record, err := client.Verdict(ctx, submission.SHA256)
	fmt.Println(record.Verdict, err)

	_, err = client.SubmitFile(ctx, file)
	fmt.Println(err)
	fmt.Println("uploaded", server.UploadCount(submission.SHA256), "time with", server.Uploads(submission.SHA256)[0].Token)
	// Output:
	// phishing <nil>
	// wildfire: submit/file: 419 daily uploads used up (Quota Exceeded)
	// uploaded 1 time with test
}

// Inject a fault into the calls that a rule selects.
func ExampleServer_Inject() {
	server := wildfiretest.New(wildfiretest.WithDelay(0))
	web := server.Start()
	defer web.Close()
	server.Inject(wildfiretest.Rule{
		Op: wildfire.OpVerdict, Times: 1,
		Fault: wildfiretest.Fault{Status: 429, RetryAfter: "30"},
	})

	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = web.URL
	client, err := wildfire.New(cfg, wildfire.StaticToken("test"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	for range 2 {
		record, err := client.Verdict(context.Background(), strings.Repeat("0", 64))
		if err != nil {
			fmt.Println(err)
			continue
		}

		fmt.Println(record.Verdict)
	}
	// Output:
	// wildfire: get/verdict: 429 too many requests (Too Many Requests)
	// unknown
}
