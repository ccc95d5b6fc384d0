package wildfire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// A file is hashed and looked up first. It is uploaded only if WildFire does not know it.
func Example() {
	service := wildfiretest.New(wildfiretest.WithDelay(0)).Start() // in production: wildfire.DefaultBaseURL
	defer service.Close()

	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = service.URL
	client, err := wildfire.New(cfg, wildfire.StaticToken(os.Getenv("WILDFIRE_TOKEN")+"token"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	ctx := context.Background()
	const contents = "wildfire-test:malware"
	known, err := client.Verdict(ctx, sha256Of(contents))
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println("at first:", known.Verdict)

	submission, err := client.SubmitFile(ctx, wildfire.File{
		Name:   "letter.js",
		Size:   int64(len(contents)),
		SHA256: known.SHA256,
		Open:   func() (io.ReadCloser, error) { return file("", contents).Open() },
	})
	switch {
	case errors.Is(err, wildfire.ErrQuota):
		fmt.Println("come back tomorrow")
	case errors.Is(err, wildfire.ErrUnsupportedType):
		fmt.Println("not a type that is analyzed")
	case err != nil:
		fmt.Println(err)
	}

	records, err := client.Verdicts(ctx, []string{submission.SHA256})
	fmt.Println("then:", records[0].Verdict, records[0].Verdict.Malicious(), err)
	// Output:
	// at first: unknown
	// then: malware true <nil>
}
