package wildfiretest

import (
	"time"

	"backburn/wildfire"
)

// Call is one request that the server answered, or broke off.
type Call struct {
	// Number counts all calls from 1.
	Number int

	Op     wildfire.Op
	Region string
	Time   time.Time

	// Token is the Bearer token or the API key that came with it, "" for none; for the token
	// service, the client id.
	Token string

	// Status is what was answered, 0 where the connection was broken off instead.
	Status int

	// SHA256, Filename and Size tell the file of a submission whose contents were read. Of a
	// question for a report or a capture, SHA256 is the hash that was asked about.
	SHA256, Filename string
	Size             int64

	// Hashes is how many hashes or links a list held.
	Hashes int

	// UserAgent is the request's header.
	UserAgent string
}

// Upload is one submission of a sample that was counted.
type Upload struct {
	Time     time.Time
	Token    string
	Filename string
}

// maxUploadsKept bounds the uploads that are remembered one by one for a sample; UploadCount knows
// them all.
const maxUploadsKept = 64

// statusKey is what calls are counted by.
type statusKey struct {
	op     wildfire.Op
	status int
}
