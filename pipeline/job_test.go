package pipeline_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"backburn/pipeline"
)

// A withheld job is valid after its message was read, however long the reason is.
func TestAWithheldJobIsValid(t *testing.T) {
	t.Parallel()
	for _, why := range []string{"short", strings.Repeat("x", 1000), "x" + strings.Repeat("ä", 1000)} {
		var j pipeline.Job
		j.ReceivedAt = time.Now()
		j.Withhold(why)
		body, err := json.Marshal(j)
		if err != nil {
			t.Fatal(err)
		}

		var read pipeline.Job
		if err := json.Unmarshal(body, &read); err != nil {
			t.Fatal(err)
		}
		if err := read.CheckText(); err != nil || !strings.HasPrefix(why, read.SubmitReason) || read.SubmitReason == "" {
			t.Errorf("the reason is %d bytes long: %v", len(read.SubmitReason), err)
		}
	}
}
