package config

import (
	"backburn/internal/httpserver"
	"backburn/pipeline"
)

// HTTP is the listener for health, metrics, status and the dashboard.
type HTTP struct {
	httpserver.Config `toml:",inline"`

	Pprof bool `toml:"pprof" doc:"Also serve /debug/pprof/. Do not use it on an address that others can reach."`
}

// API is the HTTP API for gateways that do not speak NATS.
type API struct {
	httpserver.Config `toml:",inline"`

	MaxFileSize int64      `toml:"max_file_size" unit:"bytes" doc:"Largest file that is accepted."`
	Tokens      []APIToken `toml:"token" doc:"A token for clients (Authorization: Bearer), and what it allows. The API needs at least one."`
}

// Check is the rules of [api] that its listener does not have.
func (a API) Check(bad func(key, expected string, beside ...string)) {
	want := pipeline.Wants(bad)
	want(a.Listen == "" || len(a.Tokens) > 0, "token", "at least one [[api.token]]", "listen")
	want(a.Listen == "" || a.Local() || a.WebConfigFile != "", "listen",
		"api.web_config_file with TLS as well, because tokens would travel in the clear", "web_config_file")
	want(a.MaxFileSize > 0, "max_file_size", "more than 0")
}

// APIToken is what one client, or one kind of client, shows.
type APIToken struct {
	File     string            `toml:"file" own:"secret" example:"/run/secrets/backburn-api" doc:"File with the token, mode 0600, at least 16 characters, such as from: openssl rand -hex 32. Read again every second."`
	Source   string            `toml:"source" doc:"Source of the jobs submitted with this token. The token sees only jobs and events of this source. Several tokens may share a source."`
	Priority pipeline.Priority `toml:"priority" doc:"Default priority of a request: \"urgent\", \"normal\" or \"bulk\"."`
	Urgent   bool              `toml:"urgent" doc:"Allow requests with the priority urgent."`
	Rate     float64           `toml:"rate" doc:"Submissions per second. More are answered with 429. 0: no limit."`
	Burst    int               `toml:"burst" doc:"Submissions that may arrive at once without being limited."`
}

// Check is the rules of an [[api.token]].
func (t APIToken) Check(bad func(key, expected string, beside ...string)) {
	want := pipeline.Wants(bad)
	want(t.File != "", "file", "a file with the token, mode 0600")
	want(pipeline.ValidSource(t.Source), "source", pipeline.SourceRule)
	want(t.Priority.Valid(), "priority", pipeline.PriorityRule)
	want(t.Priority != pipeline.Urgent || t.Urgent, "priority", `"normal" or "bulk", or urgent = true beside it`, "urgent")
	want(t.Rate >= 0 && t.Rate <= 1e6, "rate", "a number from 0 to 1000000") // not NaN
	want(t.Burst >= 1, "burst", "1 or more")
}

// DefaultAPIToken gives what an [[api.token]] entry means that names nothing.
func DefaultAPIToken() APIToken {
	return APIToken{Source: "api", Priority: pipeline.Normal, Burst: 10}
}

// listener gives the limits that a listener has by default.
func listener(listen string) httpserver.Config {
	c := httpserver.DefaultConfig()
	c.Listen = listen

	return c
}
