package main

import (
	"slices"
	"strings"
)

// malicious are the verdicts for which "malicious" stands.
var malicious = []string{"malware", "grayware", "phishing", "c2"}

// judged is how a verdict is shown: what is malicious stands out without colors, too.
func judged(verdict string) (string, tone) {
	switch {
	case verdict == "grayware":
		return strings.ToUpper(verdict), notable
	case slices.Contains(malicious, verdict):
		return strings.ToUpper(verdict), alarm
	}

	return verdict, plain
}
