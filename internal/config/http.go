package config

import (
	"backburn/internal/httpserver"
)

// HTTP is the listener for health, metrics, status and the dashboard.
type HTTP struct {
	httpserver.Config `toml:",inline"`

	Pprof bool `toml:"pprof" doc:"Also serve /debug/pprof/. Do not use it on an address that others can reach."`
}

// defaultHTTP listens only on a loopback address.
func defaultHTTP() HTTP {
	c := HTTP{Config: httpserver.DefaultConfig()}
	c.Listen = "127.0.0.1:9464"

	return c
}
