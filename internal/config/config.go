package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"backburn/auth"
	"backburn/internal/admin"
	"backburn/internal/api"
	"backburn/internal/clamd"
	"backburn/internal/logging"
	"backburn/internal/mail"
	"backburn/internal/natsconn"
	"backburn/internal/sink"
	"backburn/internal/tracing"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/wildfire"
)

// Config is the complete configuration, composed of the structs of the packages that own the keys.
// It is a value: copy it freely, but do not modify maps and slices, which copies share.
type Config struct {
	NATS     natsconn.Config         `toml:"nats" doc:"The NATS server or cluster that holds the queue and all other state."`
	Watch    []watch.Config          `toml:"watch" doc:"A folder to watch. The first [[watch]] entry of a file replaces the default one. To watch no folder, write watch = [] at the top of the file."`
	WildFire WildFire                `toml:"wildfire" doc:"How to reach WildFire, and how much of its quota to use."`
	Pipeline pipeline.Config         `toml:",inline"`
	Queue    queue.QueueLimits       `toml:"queue" doc:"Limits for what waits. While there is no room for a job or its contents, its submission is refused, and can be repeated later."`
	Dead     queue.DeadLimits        `toml:"dead_letters" doc:"Limits for dead letters, which are failed jobs. The oldest of each reason and source are removed first."`
	Results  queue.EventLimits       `toml:"results" doc:"Limits for the stream of events. The oldest are removed first."`
	Auth     map[string]auth.Profile `toml:"auth" doc:"A credential. A secret is given by a file name or by exactly one ${NAME}, and never in this file. Files are read again before every token request. The keys depend on the kind."`
	HTTP     admin.Config            `toml:"http" doc:"Health, metrics, status and the dashboard: /healthz, /readyz, /metrics, /api/status, /."`
	API      api.Config              `toml:"api" doc:"An HTTP API for gateways that do not speak NATS; docs/openapi.yaml. It needs TLS, unless it listens on a loopback address."`
	Clamd    clamd.Config            `toml:"clamd" doc:"A server for the protocol of ClamAV's clamd; docs/clamd.md."`
	Mail     mail.Config             `toml:"mail" doc:"A milter that checks the attachments of mail; docs/mail.md."`
	Sink     []sink.Config           `toml:"sink" reload:"true" doc:"Delivery of events to a receiver that does not read NATS; docs/sinks.md."`
	Tracing  tracing.Config          `toml:"tracing" doc:"OpenTelemetry traces of jobs; docs/tracing.md."`
	Log      logging.Config          `toml:"log" doc:"Logs go to standard error."`

	origin *origin
}

// WildFire configures the client of WildFire and its credential.
type WildFire struct {
	Client wildfire.Config `toml:",inline"`
	Auth   string          `toml:"auth" doc:"The [auth.*] profile to use."`
}

// Default returns the configuration of an empty file: one machine, the embedded server, the folder
// "quarantine" in the working directory, and no credentials.
//
// Any [[watch]] in a file replaces the default one; `watch = []` means none. The profile
// auth.wildfire always exists.
func Default() Config {
	quarantine := watch.DefaultConfig()
	quarantine.Path = "quarantine"
	quarantine.Complete()

	return Config{
		NATS:     natsconn.DefaultConfig(),
		Watch:    []watch.Config{quarantine},
		WildFire: WildFire{Client: wildfire.DefaultConfig(), Auth: "wildfire"},
		Pipeline: pipeline.DefaultConfig(),
		Queue:    queue.DefaultQueueLimits(),
		Dead:     queue.DefaultDeadLimits(),
		Results:  queue.DefaultEventLimits(),
		Auth:     map[string]auth.Profile{"wildfire": auth.DefaultProfile("wildfire", auth.KindWildFire)},
		HTTP:     admin.DefaultConfig(),
		Sink:     []sink.Config{},
		API:      api.DefaultConfig(),
		Clamd:    clamd.DefaultConfig(),
		Mail:     mail.DefaultConfig(),
		Tracing:  tracing.DefaultConfig(),
		Log:      logging.DefaultConfig(),
		origin:   &origin{},
	}
}

// Profile returns the profile with a name; its kind is empty if there is none.
func (c Config) Profile(name string) auth.Profile {
	p := c.Auth[name]
	p.Name = name

	return p
}

// Check checks the rules that concern more than one owner, or more than one entry.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	want := pipeline.Wants(bad)
	want(c.Results.MaxAge >= c.Pipeline.Deadline, "results.max_age",
		"at least verdicts.deadline, because finished jobs are remembered only as long as their events", "verdicts.deadline")

	_, known := c.Auth[c.WildFire.Auth]
	want(known, "wildfire.auth", `the name of an [auth.*] profile ("`+strings.Join(c.profileNames(), `", "`)+`")`)

	for i, w := range c.Watch {
		for j, other := range c.Watch[:i] {
			want(w.Source == "" || w.Source != other.Source, join(element("watch", i), "source"),
				fmt.Sprintf("another source than that of watch[%d]", j), join(element("watch", j), "source"))
		}
	}

	for i, s := range c.Sink {
		for j, other := range c.Sink[:i] {
			want(s.Name == "" || s.Name != other.Name, join(element("sink", i), "name"),
				fmt.Sprintf("another name than that of sink[%d]", j), join(element("sink", j), "name"))
		}
	}
}

// profileNames lists the profiles in order.
func (c Config) profileNames() []string { return slices.Sorted(maps.Keys(c.Auth)) }
