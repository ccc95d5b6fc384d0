package main

import (
	"slices"
	"strings"
)

// benign is the only verdict of a harmless file or link.
const benign = "benign"

// maliciousVerdicts are the verdicts that the word "malicious" includes.
var maliciousVerdicts = []string{"malware", "grayware", "phishing", "c2"}

// styleVerdict returns the text and tone of a verdict. Malicious verdicts are in capitals, so that
// they stand out without colors.
func styleVerdict(verdict string) (string, tone) {
	switch {
	case verdict == "grayware":
		return strings.ToUpper(verdict), notable
	case slices.Contains(maliciousVerdicts, verdict):
		return strings.ToUpper(verdict), alarm
	}

	return verdict, plain
}
