package wildfire_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// zeros is a file of any size that takes no time to read.
type zeros struct{ left int64 }

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), z.left))
	clear(p[:n])
	z.left -= int64(n)

	return n, nil
}

func (*zeros) Close() error { return nil }

func zeroFile(size int64) wildfire.File {
	return wildfire.File{Name: "zeros.bin", Size: size, Open: func() (io.ReadCloser, error) { return &zeros{left: size}, nil }}
}

// bareUpload is the baseline for the client: the minimum for net/http to stream and hash a file in
// a form of known length.
func bareUpload(ctx context.Context, transport http.RoundTripper, url string, size int64) error {
	var frame bytes.Buffer
	form := multipart.NewWriter(&frame)
	if _, err := form.CreateFormFile("file", "zeros.bin"); err != nil {
		return err
	}

	head := frame.Len()
	if err := form.Close(); err != nil {
		return err
	}

	sums := io.MultiWriter(sha256.New(), md5.New())
	body := io.MultiReader(bytes.NewReader(frame.Bytes()[:head]), io.TeeReader(&zeros{left: size}, sums), bytes.NewReader(frame.Bytes()[head:]))
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/publicapi/submit/file", body)
	if err != nil {
		return err
	}

	request.ContentLength = int64(frame.Len()) + size
	request.Header.Set("Content-Type", form.FormDataContentType())
	request.Header.Set("Authorization", "Bearer token")
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)

	return err
}

// BenchmarkUpload reports the speed, and its ratio to that of a bare stream to the same server in
// the same run: 1 is as fast, more is faster. The two alternate, so that the load of the machine is
// the same for both.
func BenchmarkUpload(b *testing.B) {
	for _, size := range []int64{1 << 10, 1 << 20, 100 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			web := wildfiretest.New(wildfiretest.WithDelay(0), wildfiretest.WithMaxFileSize(0)).Start()
			defer web.Close()
			transport, err := wildfire.NewTransport(wildfire.DefaultTransportConfig())
			if err != nil {
				b.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			cfg := wildfire.DefaultConfig()
			cfg.BaseURL = web.URL
			cfg.Transport = transport
			cfg.MaxFileSize = 0
			c, err := wildfire.New(cfg, wildfire.StaticToken("token"))
			if err != nil {
				b.Fatal(err)
			}

			ctx := context.Background()
			upload := func() error { _, err := c.SubmitFile(ctx, zeroFile(size)); return err }
			bare := func() error { return bareUpload(ctx, transport, web.URL, size) }
			for range 2 { // warm both up
				if err := upload(); err != nil {
					b.Fatal(err)
				}
				if err := bare(); err != nil {
					b.Fatal(err)
				}
			}

			// Alternate after about a megabyte and at least one upload, because stopping the timer
			// stops the world.
			turn := int(max(1, min(64, (1<<20)/size)))
			var ours, theirs time.Duration
			var n int
			b.SetBytes(size)
			b.ReportAllocs()
			began := time.Now()
			for b.Loop() {
				if err := upload(); err != nil {
					b.Fatal(err)
				}
				if n++; n%turn != 0 {
					continue
				}

				ours += time.Since(began)
				b.StopTimer()
				began = time.Now()
				for range turn {
					if err := bare(); err != nil {
						b.Fatal(err)
					}
				}

				theirs += time.Since(began)
				b.StartTimer()
				began = time.Now()
			}

			if ours > 0 {
				b.ReportMetric(theirs.Seconds()/ours.Seconds(), "x-bare")
			}
		})
	}
}

// BenchmarkParseVerdicts parses a full list of 500.
func BenchmarkParseVerdicts(b *testing.B) {
	body := []byte(verdictList(500))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		records, err := wildfire.ParseVerdicts(body)
		if err != nil || len(records) != 500 {
			b.Fatal(len(records), err)
		}
	}
}

// verdictList is an answer with n records, indented as by the service.
func verdictList(n int) string {
	var out strings.Builder
	out.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<wildfire>\n")
	for i := range n {
		fmt.Fprintf(&out, "    <get-verdict-info>\n        <sha256>%s</sha256>\n        <verdict>%d</verdict>\n        <md5>%s</md5>\n    </get-verdict-info>\n",
			sha256Of(fmt.Sprint(i)), i%3, md5Of(fmt.Sprint(i)))
	}
	out.WriteString("</wildfire>\n")

	return out.String()
}
