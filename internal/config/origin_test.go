package config_test

import (
	"bytes"
	"strings"
	"testing"

	"backburn/internal/config"
)

// Whatever is wrong with an address, neither a problem nor what is shown repeats what may be
// secret in it.
func TestAddressesAreShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	for _, address := range []string{
		"https://u:hush@host/a", "https://hush@host", "https://host/a?token=hush", "https://host?hush", "https://u:hu/hush@host",
		"https://u:p?hush@host", "ftp://u:hush@host", "https://u:hush @host", "nats://u:p,hush@host", "nats://h,nats://u:hush@h",
		"https://u:${SECRET}@host", "https://host/?a=${SECRET}", "https://u:hush@", "://hush@host", "https://u:%zzhush@host?x",
	} {
		for _, key := range []string{"nats.url", "wildfire.url", "auth.wildfire.token_url", "tracing.endpoint", "sink.url"} {
			text := key + " = '" + address + "'\n"
			if key == "sink.url" {
				text = "[[sink]]\nname = 'a'\nkind = 'webhook'\nurl = '" + address + "'\n"
			}

			cfg, err := config.Decode([]byte(text), "f.toml", env("SECRET", "hush"))
			if err != nil {
				t.Fatal(err)
			}
			if err := cfg.Validate(0); err != nil && strings.Contains(err.Error(), "hush") {
				t.Errorf("%s = %s: %v", key, address, err)
			}

			var shown bytes.Buffer
			if err := cfg.Show(&shown); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(shown.String(), "hush") {
				t.Errorf("%s = %s: show tells it", key, address)
			}
		}
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	cfg, err := config.Decode([]byte("[nats]\nprefix = 'a${B}'\n[[watch]]\npath = 'q'\n"), "f.toml", env("B", "b"))
	if err != nil {
		t.Fatal(err)
	}

	cfg.Set("log.level", "debug", "--log-level")
	cfg.Set("http.listen", "nowhere", "--http-listen")

	for key, want := range map[string]string{
		"nats.prefix": "f.toml:2, ${B}", "watch[0].path": "f.toml:4", "watch[0].settle": "default",
		"log.level": "--log-level", "log.format": "default", "http.listen": "--http-listen",
	} {
		if got := cfg.Source(key); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}

	if cfg.Log.Level != "debug" {
		t.Errorf("log.level is %s", cfg.Log.Level)
	}

	want := `--http-listen: expected an address such as "127.0.0.1:9464", or "" for none, got "nowhere"`
	if err := cfg.Validate(0); err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}
