package wildfire_test

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"backburn/wildfire"
)

// discardTransport reads a request through a fixed buffer and sends an unreadable answer, so that
// only the client allocates.
type discardTransport struct{ buffer []byte }

func (s *discardTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		if _, err := r.Body.Read(s.buffer); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
	}
	_ = r.Body.Close()
	return &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: io.NopCloser(strings.NewReader("<wildfire/>"))}, nil
}

// TestAllocationsDoNotDependOnTheSizeOfAnUpload: the number of allocations and their bytes do not
// depend on the size of the upload.
func TestAllocationsDoNotDependOnTheSizeOfAnUpload(t *testing.T) { // not parallel, because allocations of other tests would be counted
	c := client(t, "https://wildfire.example.test", wildfire.StaticToken("t"), func(cfg *wildfire.Config) {
		cfg.Transport = &discardTransport{buffer: make([]byte, 32<<10)}
	})
	measure := func(size int64) (allocations, bytes uint64) {
		const rounds = 20
		var before, after runtime.MemStats
		for i := range rounds + 1 {
			if i == 1 { // the first fills the pools
				runtime.ReadMemStats(&before)
			}
			if _, err := c.SubmitFile(t.Context(), zeroFile(size)); err != nil {
				t.Fatal(err)
			}
		}

		runtime.ReadMemStats(&after)

		return (after.Mallocs - before.Mallocs) / rounds, (after.TotalAlloc - before.TotalAlloc) / rounds
	}
	smallCount, smallBytes := measure(1 << 10)
	largeCount, largeBytes := measure(16 << 20)
	if largeCount > smallCount+10 {
		t.Errorf("%d allocations for 1 KiB, %d for 16 MiB", smallCount, largeCount)
	}
	if largeBytes > smallBytes+8<<10 || largeBytes > 32<<10 {
		t.Errorf("%d bytes for 1 KiB, %d for 16 MiB", smallBytes, largeBytes)
	}
}

// TestParsingAListHasBoundedAllocations: the memory for a full list of verdicts is bounded.
func TestParsingAListHasBoundedAllocations(t *testing.T) {
	body := []byte(verdictList(500))
	got := testing.AllocsPerRun(5, func() {
		if records, err := wildfire.ParseVerdicts(body); err != nil || len(records) != 500 {
			t.Fatal(len(records), err)
		}
	})
	if got > 30_000 {
		t.Errorf("%.0f allocations, want at most 30,000", got)
	}
}
