package main

import (
	"slices"
	"strings"
)

// malicious are the verdicts that the word "malicious" includes.
var malicious = []string{"malware", "grayware", "phishing", "c2"}

// judged returns the text and tone of a verdict. Malicious verdicts stand out even without colors.
func judged(verdict string) (string, tone) {
	switch {
	case verdict == "grayware":
		return strings.ToUpper(verdict), notable
	case slices.Contains(malicious, verdict):
		return strings.ToUpper(verdict), alarm
	}

	return verdict, plain
}
