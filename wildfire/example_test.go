package wildfire_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// A file is looked up by its hash first. It is uploaded only if WildFire does not know it.
func Example() {
	service := wildfiretest.New(wildfiretest.WithDelay(0)).Start()
	defer service.Close()

	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = service.URL // without this line: WildFire's global cloud
	client, err := wildfire.New(cfg, wildfire.StaticToken("an access token"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()

	ctx := context.Background()
	contents := []byte("wildfire-test:malware")
	hash := fmt.Sprintf("%x", sha256.Sum256(contents))
	record, err := client.Verdict(ctx, hash)
	if err == nil && record.Verdict == wildfire.Unknown {
		fmt.Println("uploading")
		_, err = client.SubmitFile(ctx, wildfire.File{
			Name:   "letter.js",
			Size:   int64(len(contents)),
			SHA256: hash,
			Open:   func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(contents)), nil },
		})
	}

	switch {
	case errors.Is(err, wildfire.ErrQuota):
		fmt.Println("come back tomorrow")
		return
	case errors.Is(err, wildfire.ErrUnsupportedType):
		fmt.Println("not a type that is analyzed")
		return
	case err != nil:
		fmt.Println(err)
		return
	}

	// A real analysis takes minutes. Until it ends, the verdict is Pending or Unknown.
	record, err = client.Verdict(ctx, hash)
	fmt.Println(record.Verdict, record.Verdict.Malicious(), err)
	// Output:
	// uploading
	// malware true <nil>
}
