package config

import (
	"path/filepath"
	"time"

	"backburn/internal/local"
	"backburn/pipeline"
)

// Clamd answers programs that ask clamd about files.
type Clamd struct {
	Listen         string            `toml:"listen" doc:"Socket or address, such as \"unix:/run/backburn/clamd.sock\" or \"127.0.0.1:3310\". Empty: off. Clients are not authenticated."`
	Mode           string            `toml:"mode" doc:"Mode of the socket, in octal. Whoever may write to it may ask."`
	MaxConnections int               `toml:"max_connections" doc:"Connections at a time. Others wait."`
	Source         string            `toml:"source" doc:"Source of the submitted jobs."`
	Priority       pipeline.Priority `toml:"priority" doc:"\"urgent\", \"normal\" or \"bulk\"."`
	Wait           time.Duration     `toml:"wait" doc:"How long to wait for the verdict of new contents, at most 10m. 0s: do not wait."`
	Unknown        string            `toml:"unknown" doc:"The answer if there is no verdict by then: \"ok\", \"found\" (WildFire.unknown FOUND) or \"error\"."`
	MaxStream      int64             `toml:"max_stream" unit:"bytes" doc:"Largest size of contents. Larger ones are answered with an error."`
	Roots          []string          `toml:"roots" doc:"Folders from which SCAN and similar commands may read files."`
}

// Check is the rules of [clamd].
func (c Clamd) Check(bad func(key, expected string, beside ...string)) {
	want := wants(bad)
	want(local.Valid(c.Listen), "listen", local.Rule)
	_, err := FileMode(c.Mode)
	want(err == nil, "mode", permissionsRule)
	want(c.MaxConnections >= 1 && c.MaxConnections <= 10_000, "max_connections", "1 to 10000")
	want(pipeline.ValidSource(c.Source), "source", nameRule)
	want(c.Priority.Valid(), "priority", `"urgent", "normal" or "bulk"`)
	want(c.Wait >= 0 && c.Wait <= 10*time.Minute, "wait", "0s to 10m")
	want(c.Unknown == "ok" || c.Unknown == "found" || c.Unknown == "error", "unknown", `"ok", "found" or "error"`)
	want(c.MaxStream > 0, "max_stream", "more than 0")
	for i, r := range c.Roots {
		want(filepath.IsAbs(r), element("roots", i), "the absolute name of a folder")
	}
}
