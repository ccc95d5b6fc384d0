package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"backburn/auth"
	"backburn/internal/config"
	"backburn/pipeline/watch"
)

const simulatedConfig = `
[nats]
prefix = "acme"
embedded.store_dir = "var/nats/"
[[watch]]
path = "in"
after.benign = "delete"
after.malicious = "/srv/malware"
[[watch]]
path = "keep"
claim = "keep"
state_dir = "state"
[[sink]]
name = "siem"
kind = "webhook"
url = "https://siem.example/"
secret_file = "key"
[clamd]
listen = "127.0.0.1:3310"
[mail]
listen = "127.0.0.1:8894"
[tracing]
endpoint = "http://127.0.0.1:4318"
`

// A simulation shares no state with a real run, moves no file, and delivers no unmarked events.
func TestSimulate(t *testing.T) {
	t.Parallel()
	before, err := config.Decode([]byte(simulatedConfig), "f.toml", nil)
	if err != nil {
		t.Fatal(err)
	}

	c := before
	if err := c.Simulate(); err != nil {
		t.Fatal(err)
	}

	base := filepath.Join("var", "nats-simulated")
	if !c.Simulated() || c.NATS.Prefix != "acme-simulated" || c.NATS.Embedded.StoreDir != filepath.Join(base, "nats") ||
		c.NATS.Embedded.TokenFile() != filepath.Join(base, "nats.token") {
		t.Errorf("it is not apart: %+v", c.NATS)
	}

	for _, w := range c.Watch {
		if w.Claim != watch.ClaimKeep || w.StateDir != filepath.Join(base, "watch") || w.After != watch.DefaultConfig().After {
			t.Errorf("it would touch the folder %s: %+v", w.Path, w)
		}
	}

	if len(c.Sink) > 0 || c.Clamd.Listen != "" || c.Mail.Listen != "" || c.Tracing.Endpoint != "" {
		t.Errorf("it would tell others: %v %q %q %q", c.Sink, c.Clamd.Listen, c.Mail.Listen, c.Tracing.Endpoint)
	}
	if before.Simulated() || before.Watch[0].Claim != watch.ClaimMove || before.Watch[0].After.Benign != watch.AfterDelete {
		t.Errorf("the configuration that was copied has changed: %+v", before.Watch)
	}
}

func TestSimulateUnderALongPrefix(t *testing.T) {
	t.Parallel()
	for prefix, fits := range map[string]bool{strings.Repeat("p", 22): true, strings.Repeat("p", 23): false} {
		c, err := config.Decode([]byte("[nats]\nprefix = '"+prefix+"'\n"), "f.toml", nil)
		if err != nil {
			t.Fatal(err)
		}
		err = c.Simulate()
		if (err == nil) != fits {
			t.Errorf("%d characters: %v", len(prefix), err)
		}
		if err != nil && !strings.HasPrefix(err.Error(), "f.toml:2:1: nats.prefix: expected fewer characters") {
			t.Errorf("it says %q", err)
		}
	}
}

// No credential of the configuration goes to the simulator, whatever its profile is called.
func TestSimulatorGetsNoCredential(t *testing.T) {
	t.Parallel()
	c, err := config.Decode([]byte("[wildfire]\nauth='simulated'\nagent='pcc'\n[auth.simulated]\nkind='api-key'\napi_key_file='key'\n"), "f.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.UseSimulator("http://127.0.0.1:1", auth.Profile{Name: "simulated", Kind: auth.KindWildFire, ClientID: "it"})
	if p := c.Profile(c.WildFire.Auth); p.ClientID != "it" || p.APIKeyFile != "" || c.WildFire.Client.BaseURL != "http://127.0.0.1:1" {
		t.Errorf("it uses %+v", p)
	}
}
