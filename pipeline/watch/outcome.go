package watch

import (
	"encoding/json"

	"backburn/results"
	"backburn/wildfire"
)

// actionFor returns the configured action for an event, and the folder below spool.Done for files
// with this outcome.
func (a After) actionFor(e results.Event) (action, dir string) {
	if e.Type == results.Failed {
		return a.Failed, "failed"
	}
	switch v, known := wildfire.ParseVerdict(e.Data.Verdict); {
	case known && v == wildfire.Benign:
		return a.Benign, v.String()
	case known && v.Malicious():
		return a.Malicious, v.String()
	default:
		return AfterKeep, "unrecognised"
	}
}

// sidecarOf returns the sidecar of a file with this final event.
func sidecarOf(e results.Event) ([]byte, error) {
	b, err := json.Marshal(e)

	return append(b, '\n'), err
}

// eventName returns the name of the file that an event is about.
func eventName(e results.Event) string {
	if e.Data.FilenameB64 != nil {
		return string(e.Data.FilenameB64)
	}

	return e.Data.Filename
}
