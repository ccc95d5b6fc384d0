package wildfiretest

import (
	"time"

	"backburn/wildfire"
)

// Call is one request that the server answered, or whose connection it closed.
type Call struct {
	// Number counts all calls from 1.
	Number int

	Op     wildfire.Op
	Region string
	Time   time.Time

	// Token is the bearer token or API key in the request, or "". For the token service it is the
	// client ID.
	Token string

	// Status is the status of the answer; 0 if the connection was closed instead.
	Status int

	// SHA256, Filename and Size describe the file of a submission, if its contents were read. For a
	// request for a report, a sample or a capture, SHA256 is the requested SHA-256 or MD5.
	SHA256, Filename string
	Size             int64

	// Hashes is the number of hashes or links in a list.
	Hashes int

	// UserAgent is the request's header.
	UserAgent string
}

// Upload is one counted submission of a sample.
type Upload struct {
	Time     time.Time
	Token    string
	Filename string
}

// maxUploadsKept is the most uploads that are stored for a sample; UploadCount counts all.
const maxUploadsKept = 64

// statusKey is the key by which calls are counted for CountStatus.
type statusKey struct {
	op     wildfire.Op
	status int
}
