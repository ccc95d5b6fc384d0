package app

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"backburn/internal/cli"
	"backburn/internal/config"
)

// buildInfo returns the metric with the version of the process.
func buildInfo(r Roles) prometheus.Collector {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "backburn_build_info", Help: "Version, revision, Go version and role of this process; always 1.",
	}, []string{"version", "revision", "goversion", "role"})
	build := cli.ThisBuild()
	g.WithLabelValues(build.Version, build.Revision, build.Go, r.fleetRole()).Set(1)

	return g
}

// fingerprint returns a short hash of a configuration's values. It does not depend on where a value
// comes from (file, environment, flag or default), and secrets do not enter it.
func fingerprint(c config.Config) string {
	var b bytes.Buffer
	if err := c.Show(&b); err != nil {
		return ""
	}

	h := sha256.New()
	for line := range strings.Lines(b.String()) {
		value, _, _ := strings.Cut(line, " #") // drop the comment that names the value's origin
		h.Write([]byte(strings.TrimSpace(value) + "\n"))
	}

	return hex.EncodeToString(h.Sum(nil)[:4])
}
