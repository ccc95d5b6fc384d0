package wildfiretest

import (
	"time"

	"backburn/wildfire"
)

// Plan is the predetermined result of a sample.
type Plan struct {
	// Verdict is the final verdict.
	Verdict wildfire.Verdict

	// Delay is the time from the submission to the verdict; a negative value means the server's
	// delay (WithDelay).
	Delay time.Duration

	// Never keeps the sample at Pending; Lost keeps it at Unknown.
	Never, Lost bool

	// Flips changes the verdict to FlipTo when FlipAfter has passed since the first verdict.
	Flips     bool
	FlipAfter time.Duration
	FlipTo    wildfire.Verdict

	// NoReport means that the sample has no report, PDF or capture, as if they had expired.
	NoReport bool

	// Fault is injected into the sample's submissions: a refusal or a faulty answer. Times limits
	// it to the first submissions; 0 means all.
	Fault Fault
	Times int
}

// Sample describes a submitted file or URL, for WithPlan.
type Sample struct {
	Region, SHA256, MD5, Filename, URL string
	Size                               int64

	// Head is the beginning of the contents, at most 4 KiB.
	Head []byte
}

// headSize is how many bytes of the contents are searched for markers.
const headSize = 4 << 10
