package wildfiretest

import (
	"time"

	"backburn/wildfire"
)

// Plan is what becomes of a sample.
type Plan struct {
	// Verdict is the final one.
	Verdict wildfire.Verdict

	// Delay is the time from the submission to the verdict; negative takes the server's
	// (WithDelay).
	Delay time.Duration

	// Never keeps the sample at Pending; Lost keeps it at Unknown.
	Never, Lost bool

	// Flips changes the verdict to FlipTo after FlipAfter has passed since the verdict.
	Flips     bool
	FlipAfter time.Duration
	FlipTo    wildfire.Verdict

	// NoReport leaves the sample without a report, a PDF and a capture, as when they have expired.
	NoReport bool

	// Fault happens to its submission: a refusal, or an answer gone wrong. Times limits it to the
	// first submissions of the sample; 0 means all.
	Fault Fault
	Times int
}

// Sample is what is known about an upload when its plan is made.
type Sample struct {
	Region, SHA256, MD5, Filename, URL string
	Size                               int64

	// Head is the beginning of the contents, at most 4 KiB.
	Head []byte
}

// headSize is how much of the contents is looked at for markers, in bytes.
const headSize = 4 << 10
