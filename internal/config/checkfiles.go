package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"backburn/auth"
)

// Part is a part of the system that a process runs; they combine with |.
type Part int

// The parts, and all of them together.
const (
	ServerPart  Part = 1 << iota // the embedded NATS server
	WatcherPart                  // the folders
	WorkerPart                   // WildFire, the roots of sources, and the profile for WildFire
	APIPart                      // the HTTP API, where one is configured
	SinkPart                     // the sinks of events
	Everything  = ServerPart | WatcherPart | WorkerPart | APIPart | SinkPart
)

// CheckFiles looks at the files and folders that the parts need: that they are there, of
// the right sort, readable (and writable where that is needed), and that nobody else can
// read what must stay secret. It changes nothing. The error, where there is one, is of
// type Problems, with the same places in the file as those of Parse.
func (c Config) CheckFiles(parts Part) error {
	k := fileChecker{checker{origin: c.origin}}
	k.private("nats.credentials_file", c.NATS.CredentialsFile)
	k.secret("nats.nkey_file", c.NATS.NKeyFile)
	k.secret("nats.password_file", c.NATS.PasswordFile)
	k.secret("nats.token_file", c.NATS.TokenFile)
	k.readable("nats.tls.ca_file", c.NATS.TLS.CAFile)
	k.readable("nats.tls.cert_file", c.NATS.TLS.CertFile)
	k.private("nats.tls.key_file", c.NATS.TLS.KeyFile)
	if parts&ServerPart != 0 && c.NATS.Embedded.Enabled {
		k.creatable("nats.embedded.store_dir", c.NATS.Embedded.StoreDir)
	}
	if parts&WatcherPart != 0 {
		k.watches(c.Watch)
		k.watchesApart(c)
	}
	if parts&WorkerPart != 0 {
		k.readable("wildfire.ca_file", c.WildFire.CAFile)
		for _, source := range slices.Sorted(maps.Keys(c.Worker.Roots)) {
			k.folder(join("worker.roots", source), c.Worker.Roots[source], read)
		}
		k.profile(join("auth", c.WildFire.Auth), c.Auth[c.WildFire.Auth])
		k.rootsApart(c)
	}
	if parts&SinkPart != 0 {
		for i, s := range c.Sink {
			k.sink(element("sink", i), s)
		}
	}
	if parts&APIPart != 0 && c.API.Listen != "" {
		k.secret("api.token_file", c.API.TokenFile)
		k.readable("api.cert_file", c.API.CertFile)
		k.private("api.key_file", c.API.KeyFile)
	}
	return k.problems.err()
}

// CheckProfile says which credentials the profile lacks for its kind, as Problems.
func (c Config) CheckProfile(profile string) error {
	k := checker{origin: c.origin}
	a, ok := c.Auth[profile]
	if !ok {
		k.add("auth", "there is no profile %s", quote(profile))
		return k.problems.err()
	}
	has := map[string]bool{
		"client_id":     a.ClientID != "",
		"client_secret": a.ClientSecret.IsSet() || a.ClientSecretFile != "",
		"api_key_file":  a.APIKeyFile != "",
		"tsg_id":        a.TSGID != "",
		"scope":         a.Scope != "",
		"redirect_url":  a.RedirectURL != "",
		"grant_file":    a.GrantFile != "",
	}
	missing := map[string]bool{}
	for _, key := range a.Kind.Required() {
		missing[key] = !has[key]
		switch {
		case has[key]:
		case key == "client_secret":
			k.add(join(join("auth", profile), key), `not set; name a file in client_secret_file, or a variable as client_secret = "${NAME}"`)
		default:
			k.add(join(join("auth", profile), key), "not set; a profile of kind %q needs it", a.Kind)
		}
	}

	missing["client_secret_file"] = missing["client_secret"]
	for _, p := range c.Profile(profile).Problems() {
		if !missing[p.Key] {
			k.add(join(join("auth", profile), p.Key), "%s", p.Message)
		}
	}
	return k.problems.err()
}

func (c Config) profileNames() []string { return slices.Sorted(maps.Keys(c.Auth)) }

type fileChecker struct{ checker }

// readable wants a regular file that can be opened; "" is fine.
func (k *fileChecker) readable(key, file string) {
	if file == "" {
		return
	}
	f, err := os.Open(file)
	if err != nil {
		k.add(key, "%s", plain(err))
		return
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		k.add(key, "expected a file, %s is none", quote(file))
	}
}

// private wants, besides, that others cannot read the file.
func (k *fileChecker) private(key, file string) {
	k.judge(key, file, auth.CheckSecretFile)
}

// secret wants, besides, that there is a secret in it: one line.
func (k *fileChecker) secret(key, file string) {
	k.judge(key, file, func(name string) error {
		_, err := auth.ReadSecretFile(name)
		return err
	})
}

func (k *fileChecker) judge(key, file string, judge func(string) error) {
	if file == "" {
		return
	}
	if err := judge(file); err != nil {
		k.add(key, "%s", err)
	}
}

func (k *fileChecker) sink(at string, s Sink) {
	if s.Kind == SinkWebhook {
		k.secret(join(at, "secret_file"), s.SecretFile)
		k.creatable(join(at, "dead_file"), filepath.Dir(s.DeadFile))
		return
	}
	k.creatable(join(at, "path"), filepath.Dir(s.Path))
}

// access is what a process must be able to do with a folder.
type access int

const (
	read access = iota
	write
)

func (k *fileChecker) folder(key, dir string, want access) {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		k.add(key, "there is no folder %s; create it", quote(dir))
	case err != nil:
		k.add(key, "%s", plain(err))
	case !info.IsDir():
		k.add(key, "expected a folder, %s is none", quote(dir))
	default:
		if err := accessible(dir, want); err != nil {
			k.add(key, "%s: %s", quote(dir), err)
		}
	}
}

// creatable wants a folder that can be written to, or made.
func (k *fileChecker) creatable(key, dir string) {
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		_, err := os.Stat(at)
		if errors.Is(err, fs.ErrNotExist) && filepath.Dir(at) != at {
			continue
		}
		k.folder(key, at, write)
		return
	}
}

func (k *fileChecker) watches(watches []Watch) {
	for i, w := range watches {
		at := element("watch", i)
		want := write
		if w.Claim == ClaimKeep {
			want = read
			k.creatable(join(at, "state_dir"), w.State())
		}
		k.folder(join(at, "path"), w.Path, want)
		for _, after := range []struct{ outcome, what string }{
			{"benign", w.After.Benign}, {"malicious", w.After.Malicious}, {"failed", w.After.Failed},
		} {
			if strings.ContainsAny(after.what, `/`+string(filepath.Separator)) {
				k.creatable(join(join(at, "after"), after.outcome), after.what)
			}
		}
	}
}

func (k *fileChecker) profile(at string, a Auth) {
	k.secret(join(at, "client_secret_file"), a.ClientSecretFile)
	k.secret(join(at, "api_key_file"), a.APIKeyFile)
	k.secret(join(at, "cache_key_file"), a.CacheKeyFile)
	if a.GrantFile != "" {
		k.creatable(join(at, "grant_file"), filepath.Dir(a.GrantFile))
	}
}

// plain says what is wrong with a file without the name of the system call.
func plain(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Sprintf("%s: %s", quote(pe.Path), pe.Err)
	}
	return err.Error()
}

// Problem makes an error of something that only showed when the configuration was put to
// use, with the place of its key in the file.
func (c Config) Problem(key, format string, args ...any) error {
	k := checker{origin: c.origin}
	k.add(key, format, args...)
	return k.problems
}
