package api_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Compares the API with a minimal handler that writes bodies to the same object store, alternately.
// The ratio is the API's speed relative to the handler's.
func BenchmarkSubmit(b *testing.B) {
	s := newSite(b)
	store, err := s.q.JetStream().CreateObjectStore(b.Context(), jetstream.ObjectStoreConfig{Bucket: "bare"})
	if err != nil {
		b.Fatal(err)
	}

	round := 0
	bare := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := store.Put(r.Context(), jetstream.ObjectMeta{Name: fmt.Sprint(round), Opts: &jetstream.ObjectMetaOptions{ChunkSize: 512 << 10}}, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	}))
	defer bare.Close()
	body := bytes.Repeat([]byte("0123456789abcdef"), (limit-8)/16)
	send := func(url string, want int) time.Duration {
		req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}

		req.Header.Set("Authorization", "Bearer "+token)
		started := time.Now()
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			b.Fatal(err)
		}

		_ = res.Body.Close()
		if res.StatusCode != want {
			b.Fatal(res.Status)
		}

		return time.Since(started)
	}
	defer http.DefaultClient.CloseIdleConnections()
	var theirs, ours time.Duration
	for b.Loop() {
		round++
		theirs += send(bare.URL, 200)
		ours += send(s.url+"/v1/submit?filename=a.exe", 202)
		ctx := context.WithoutCancel(b.Context())
		if err := store.Delete(ctx, fmt.Sprint(round)); err != nil {
			b.Fatal(err)
		}
	}

	b.ReportMetric(float64(len(body)*round)/1e6/ours.Seconds(), "MB/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "ratio")
}
