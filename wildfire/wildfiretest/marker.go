package wildfiretest

import (
	"bytes"
	"strings"
	"time"

	"backburn/wildfire"
)

// MarkerHelp explains the markers that decide the result of a sample, for users of the simulator.
const MarkerHelp = `Every file is benign, unless its name or the first 4 KiB of its contents say otherwise.

In the NAME (upper or lower case; words are separated by anything that is neither letter nor digit):
  malware, grayware, phishing    anywhere in the name: that verdict
  c2                             as a word: command and control
  eicar                          anywhere: malware
  error                          as a word: the analysis fails (-101)
  flawed                         as a word: flawed submission (-104)
  odd                            as a word: an unknown verdict code (99)
  never                          as a word: stays pending forever
  lost                           as a word: accepted and then forgotten (-102 forever)
  flip                           as a word: benign first, malware after another delay of the same length
  reportless                     as a word: malware, without a report
  unsupported                    anywhere: refused, 418 unsupported file type
  unprocessable                  anywhere: refused, 422
  toolarge                       as a word: refused, 413
  forbidden                      as a word: refused, 403
  unstorable                     as a word: refused, 513, every time
  busy, throttled, flaky         as a word: at first 503, 429 with Retry-After, or 500; then accepted
  unanswered                     as a word: accepted, but at first the connection breaks before the answer
  garbled                        as a word: accepted, but the answer is an HTML page
  altered                        as a word: accepted, but the answer shows another SHA-256

In the CONTENTS:
  wildfire-test:<marker>         any of the markers above, such as wildfire-test:phishing
  the EICAR test string          malware

The same words in a URL decide the verdict of a link. www.google.com and numeric hosts, such as
http://1404/, are known without a submission: the remainder of the number divided by 7 means
benign (0), malware, grayware, phishing, c2 (4), or unknown.
`

// substringMarkers may be any part of the name, wordMarkers must be a whole word:
// "terror.pdf" does not match error.
var (
	substringMarkers = []string{"malware", "grayware", "phishing", "eicar", "unsupported", "unprocessable"}
	wordMarkers      = []string{
		"c2", "error", "flawed", "odd", "never", "lost", "flip", "reportless", "toolarge", "forbidden", "unstorable",
		"busy", "throttled", "flaky", "unanswered", "garbled", "altered",
	}
	contentMarker = []byte("wildfire-test:")

	// eicar is split so that virus scanners do not report this source file.
	eicar = []byte("EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE")
)

// plan returns the plan of a sample, from WithPlan, its contents or its name.
func (s *Server) plan(sample Sample) Plan {
	if s.planFor != nil {
		if plan, ok := s.planFor(sample); ok {
			return plan
		}
	}

	marker := markerIn(sample)
	plan := planOfMarker(marker)
	if plan.Flips {
		plan.FlipAfter = max(s.delayOf(sample.SHA256), time.Second)
	}

	return plan
}

// markerIn returns the marker in the contents, the name or the URL of a sample, or "".
func markerIn(sample Sample) string {
	if marker := markerInContents(sample.Head); marker != "" {
		return marker
	}
	if marker := markerInName(sample.Filename); marker != "" {
		return marker
	}
	return markerInName(sample.URL)
}

func markerInContents(head []byte) string {
	if bytes.Contains(head, eicar) {
		return "eicar"
	}

	_, rest, found := bytes.Cut(head, contentMarker)
	if !found {
		return ""
	}

	for _, list := range [][]string{substringMarkers, wordMarkers} {
		for _, marker := range list {
			if bytes.HasPrefix(rest, []byte(marker)) {
				return marker
			}
		}
	}

	return ""
}

func markerInName(name string) string {
	if name == "" {
		return ""
	}

	name = strings.ToLower(name)
	for _, marker := range substringMarkers {
		if strings.Contains(name, marker) {
			return marker
		}
	}

	for _, word := range strings.FieldsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9')
	}) {
		for _, marker := range wordMarkers {
			if word == marker || strings.TrimRight(word, "0123456789") == marker {
				return marker
			}
		}
	}

	return ""
}

// planOfMarker returns the plan for a marker; "" gives a benign sample.
func planOfMarker(marker string) Plan {
	plan := Plan{Delay: -1}
	switch marker {
	case "malware", "eicar":
		plan.Verdict = wildfire.Malware
	case "grayware":
		plan.Verdict = wildfire.Grayware
	case "phishing":
		plan.Verdict = wildfire.Phishing
	case "c2":
		plan.Verdict = wildfire.C2
	case "error":
		plan.Verdict = wildfire.AnalysisError
	case "flawed":
		plan.Verdict = wildfire.Flawed
	case "odd":
		plan.Verdict = 99
	case "never":
		plan.Never = true
	case "lost":
		plan.Lost = true
	case "flip":
		plan.Flips, plan.FlipTo = true, wildfire.Malware
	case "reportless":
		plan.Verdict, plan.NoReport = wildfire.Malware, true
	case "unsupported":
		plan.Fault = Fault{Status: 418}
	case "unprocessable":
		plan.Fault = Fault{Status: 422}
	case "toolarge":
		plan.Fault = Fault{Status: 413}
	case "forbidden":
		plan.Fault = Fault{Status: 403}
	case "unstorable":
		plan.Fault = Fault{Status: 513}
	case "busy":
		plan.Fault, plan.Times = Fault{Status: 503, Body: HTMLBody, RetryAfter: "1"}, 1
	case "throttled":
		plan.Fault, plan.Times = Fault{Status: 429, RetryAfter: "1"}, 1
	case "flaky":
		plan.Fault, plan.Times = Fault{Status: 500}, 1
	case "unanswered":
		plan.Fault, plan.Times = Fault{LoseAnswer: true}, 1
	case "garbled":
		plan.Fault = Fault{Style: HTML200}
	case "altered":
		plan.Fault = Fault{Style: WrongSHA256}
	}

	return plan
}
