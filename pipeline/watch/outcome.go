package watch

import "backburn/results"

// class returns the configured action for an event, and the name of its folder in spool.Done.
func (a After) class(e results.Event) (action, verdict string) {
	if e.Type == results.Failed {
		return a.Failed, "failed"
	}
	switch v := e.Data.Verdict; v {
	case "benign":
		return a.Benign, v
	case "malware", "grayware", "phishing", "c2":
		return a.Malicious, v
	default:
		return AfterKeep, "unrecognised"
	}
}

// eventName returns the name of the file that an event is about.
func eventName(e results.Event) string {
	if e.Data.FilenameB64 != nil {
		return string(e.Data.FilenameB64)
	}

	return e.Data.Filename
}
