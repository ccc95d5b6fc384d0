package readable_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// bareDuration matches what writes a duration into a log as a number without its unit.
var bareDuration = regexp.MustCompile(`\b(Dur|Durs|TimeDiff)\("`)

// TestLogsSayUnits finds durations in logs that do not say their unit; Stringer does.
func TestLogsSayUnits(t *testing.T) {
	t.Parallel()
	for _, f := range files(t, ".go") {
		if strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		for i, line := range bytes.Split(f.text, []byte("\n")) {
			if bareDuration.Match(line) {
				t.Errorf("%s:%d: log a duration with Stringer, which says its unit:\n%s", f.path, i+1, line)
			}
		}
	}
}
