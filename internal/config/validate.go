package config

import (
	"cmp"
	"fmt"
	"net"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"backburn/auth"
)

// name is what a source and a prefix look like: one token of a subject.
var name = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

// minLease is the shortest lease: it is renewed at a third, and JetStream keeps such
// times in whole seconds.
const minLease = 3 * time.Second

// domainName is what the server takes for a JetStream domain, which is one token of a subject.
var domainName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

const nameRule = "1 to 32 of a-z, 0-9, _ and -"

// validate adds every combination and value that cannot work.
func (c Config) validate(d *decoder) {
	d.nats(c.NATS)
	for i, w := range c.Watch {
		d.watch(element("watch", i), w)
	}
	d.sources(c.Watch)
	d.wildfire(c)
	d.worker(c.Worker)
	d.verdicts(c.Verdicts, c.Results)
	for _, profile := range c.profileNames() {
		d.profile(join("auth", profile), c.Auth[profile])
	}
	d.expect(CheckListen(c.HTTP.Listen) == nil, "http.listen", c.HTTP.Listen, listenRule)
	d.api(c.API)
	for i, s := range c.Sink {
		d.sink(element("sink", i), s, c.Sink[:i])
	}
	d.tracing(c.Tracing)
}

// tracing allows http towards other machines too: spans hold no credentials, and collectors that
// stand beside the process rarely speak TLS.
func (d *decoder) tracing(t Tracing) {
	if key := "tracing.endpoint"; t.Endpoint != "" && !d.failed(key) {
		u, err := url.Parse(t.Endpoint)
		switch {
		case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
			d.add(key, `expected an address such as "http://127.0.0.1:4318", or "" for none`)
		case u.User != nil || u.RawQuery != "" || u.Fragment != "":
			d.add(key, "expected no user, password or query in the address; OTEL_EXPORTER_OTLP_HEADERS is for credentials")
		}
	}
	d.expect(t.Sample >= 0 && t.Sample <= 1, "tracing.sample", t.Sample, "a number from 0 to 1") // not NaN
}

func (d *decoder) sink(at string, s Sink, before []Sink) {
	if d.failed(at) {
		return
	}
	key := func(k string) string { return join(at, k) }
	d.expect(name.MatchString(s.Name), key("name"), s.Name, nameRule)
	for j, other := range before {
		d.expect(s.Name != other.Name, key("name"), s.Name, fmt.Sprintf("another name than that of sink[%d]", j))
	}
	d.expect(s.Kind != "", key("kind"), s.Kind, `"webhook" or "file"`)
	words := []string{"submitted", "verdict", "failed", "changed"}
	for i, t := range s.Types {
		d.expect(slices.Contains(words, t), element(key("types"), i), t, strings.Join(words, ", "))
	}
	for i, v := range s.Outcomes {
		d.expect(name.MatchString(v), element(key("outcomes"), i), v, "a verdict or a reason")
	}
	for i, v := range s.Sources {
		d.expect(name.MatchString(v), element(key("sources"), i), v, nameRule)
	}
	switch s.Kind {
	case SinkWebhook:
		d.httpURL(key("url"), s.URL)
		d.expect(s.SecretFile != "", key("secret_file"), s.SecretFile, "a file with the key of the signature, mode 0600")
		d.expect(s.DeadFile != "", key("dead_file"), s.DeadFile, "a file for events that are not taken")
		d.expect(s.Timeout > 0, key("timeout"), s.Timeout, "more than 0")
		d.expect(s.MaxAttempts > 0, key("max_attempts"), s.MaxAttempts, "more than 0")
	case SinkFile:
		d.expect(s.Path != "", key("path"), s.Path, "a file")
		d.expect(s.MaxSize >= 1_000_000, key("max_size"), s.MaxSize, "at least 1MB")
		d.expect(s.MaxBackups >= 0, key("max_backups"), s.MaxBackups, "0 or more")
	}
}

func (d *decoder) api(o API) {
	d.expect(CheckListen(o.Listen) == nil, "api.listen", o.Listen, listenRule)
	d.clash(o.Listen != "" && o.TokenFile == "", "api.token_file", "api.listen", "expected a file with the token that clients show, mode 0600")
	d.clash((o.CertFile == "") != (o.KeyFile == ""), "api.cert_file", "api.key_file", "expected api.cert_file and api.key_file, or neither")
	host, _, err := net.SplitHostPort(o.Listen)
	d.clash(err == nil && !Loopback(host) && o.CertFile == "", "api.listen", "api.cert_file",
		"expected api.cert_file and api.key_file as well: the token would travel in the clear to %s", quote(o.Listen))
	d.expect(name.MatchString(o.Source), "api.source", o.Source, nameRule)
	d.expect(o.MaxFileSize > 0, "api.max_file_size", o.MaxFileSize, "more than 0")
}

// expect adds a problem with the value of a key unless it holds, or the key has one.
func (d *decoder) expect(holds bool, key string, value any, want string) {
	if !holds && !d.failed(key) {
		d.add(key, "expected %s, got %s", want, d.got(key, value))
	}
}

// clash adds a problem with a combination of two keys unless either has one already. It
// is shown where the file sets the key or else, since one of them was set, the other.
func (d *decoder) clash(clashes bool, key, other, format string, args ...any) {
	if !clashes || d.failed(key) || d.failed(other) {
		return
	}
	d.addBeside(key, other, format, args...)
}

func (d *decoder) nats(n NATS) {
	if !d.failed("nats.url") {
		for _, u := range n.URLs() {
			d.natsURL("nats.url", u)
		}
	}
	d.expect(name.MatchString(n.Prefix), "nats.prefix", n.Prefix, nameRule)
	d.expect(slices.Contains([]int{1, 3, 5}, n.Replicas), "nats.replicas", n.Replicas, "1, 3 or 5")
	d.clash(n.Replicas > 1 && n.Embedded.Enabled, "nats.replicas", "nats.embedded.enabled",
		"%d replicas need a cluster, and the embedded server is alone: set nats.embedded.enabled = false", n.Replicas)
	d.oneCredential(n)
	d.expect(n.Domain == "" || domainName.MatchString(n.Domain), "nats.domain", n.Domain, "1 to 64 of A-Z, a-z, 0-9, _ and -")
	d.clash(n.Domain != "" && n.Embedded.Enabled, "nats.domain", "nats.embedded.enabled",
		"the embedded server has no domain: set nats.embedded.enabled = false, or leave this empty")
	d.clash(n.TLS.CertFile != "" && n.TLS.KeyFile == "", "nats.tls.cert_file", "nats.tls.key_file",
		"expected nats.tls.key_file as well")
	d.clash(n.TLS.KeyFile != "" && n.TLS.CertFile == "", "nats.tls.key_file", "nats.tls.cert_file",
		"expected nats.tls.cert_file as well")
	d.expect(!n.Embedded.Enabled || n.Embedded.StoreDir != "", "nats.embedded.store_dir", n.Embedded.StoreDir, "a folder")
}

// oneCredential allows one way to prove who a client is, and that one whole.
func (d *decoder) oneCredential(n NATS) {
	ways := []struct {
		key, value string
	}{
		{"nats.credentials_file", n.CredentialsFile},
		{"nats.nkey_file", n.NKeyFile},
		{"nats.user", n.User},
		{"nats.token_file", n.TokenFile},
	}
	first := ""
	for _, way := range ways {
		if way.value == "" {
			continue
		}
		d.clash(first != "", way.key, first, "expected either this or %s, got both", first)
		first = cmp.Or(first, way.key)
	}
	d.clash(n.User != "" && n.PasswordFile == "", "nats.user", "nats.password_file",
		"expected nats.password_file as well")
	d.clash(n.PasswordFile != "" && n.User == "", "nats.password_file", "nats.user",
		"expected nats.user as well")
}

func (d *decoder) natsURL(key, s string) {
	u, err := url.Parse(s)
	switch {
	case err != nil || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) || u.Hostname() == "":
		d.add(key, `expected servers such as "nats://127.0.0.1:4222", separated by commas`)
	case u.User != nil:
		d.add(key, "expected no user or password in the address; use nats.user and nats.password_file")
	}
}

func (d *decoder) watch(at string, w Watch) {
	key := func(k string) string { return join(at, k) }
	if d.failed(at) {
		return
	}
	if w.Path == "" && !d.failed(key("path")) {
		d.add(key("path"), "expected the folder to watch")
	}
	if w.Path != "" && !name.MatchString(w.Source) && !d.failed(key("source")) {
		if _, given := d.written[key("source")]; given {
			d.expect(false, key("source"), w.Source, nameRule)
		} else {
			d.add(key("source"), "the folder's name gives none: expected %s", nameRule)
		}
	}
	d.expect(w.Scan > 0, key("scan"), w.Scan, "more than 0")
	d.clash(w.StaleAfter < w.Settle, key("stale_after"), key("settle"),
		"expected at least settle (%s), got %s", w.Settle, w.StaleAfter)
	d.expect(w.MaxFileSize > 0, key("max_file_size"), w.MaxFileSize, "more than 0")
	d.expect(w.MaxInFlight > 0, key("max_in_flight"), w.MaxInFlight, "more than 0")
	d.globs(key("exclude"), w.Exclude)
	d.globs(key("defer"), w.Defer)
	d.doneFile(key("done_file"), w.DoneFile)
	d.after(key("after"), "benign", w.After.Benign, w)
	d.after(key("after"), "malicious", w.After.Malicious, w)
	d.after(key("after"), "failed", w.After.Failed, w)
}

// doneFile allows a fixed name, or one placeholder.
func (d *decoder) doneFile(key, s string) {
	rest := strings.Replace(strings.Replace(s, "{name.noext}", "", 1), "{name}", "", 1)
	placeholders := strings.Count(s, "{name.noext}") + strings.Count(s, "{name}")
	d.expect(placeholders <= 1 && s != "{name}" && !strings.ContainsAny(rest, `{}/\`), key, s,
		`a name with {name} or {name.noext} in it at most once, such as "{name}.done"`)
}

func (d *decoder) after(table, outcome, what string, w Watch) {
	key := join(table, outcome)
	words := []string{AfterKeep, AfterDelete, AfterRestore}
	switch {
	case d.failed(key):
	case what != AfterKeep && w.Claim == ClaimKeep:
		d.add(key, `expected "keep": with claim = "keep" files stay where they are, got %s`, d.got(key, what))
	case slices.Contains(words, what):
	case !strings.ContainsAny(what, `/`+string(filepath.Separator)):
		d.add(key, `expected "keep", "delete", "restore", or a folder with a slash such as "./%s", got %s%s`,
			outcome, d.got(key, what), suggest(what, words))
	}
}

func (d *decoder) globs(key string, patterns []string) {
	for i, p := range patterns {
		_, err := path.Match(p, "")
		d.expect(err == nil && p != "", element(key, i), p, `a glob such as "*.tmp"`)
	}
}

// sources checks that no two entries share a source.
func (d *decoder) sources(watches []Watch) {
	for i, w := range watches {
		for j, other := range watches[:i] {
			if w.Source == other.Source && w.Source != "" {
				d.add(join(element("watch", i), "source"), "%q is the source of watch[%d] as well; give one of them another", w.Source, j)
			}
		}
	}
}

func (d *decoder) wildfire(c Config) {
	w := c.WildFire
	d.httpURL("wildfire.url", w.URL)
	if _, ok := c.Auth[w.Auth]; !ok && !d.failed("wildfire.auth") {
		names := c.profileNames()
		d.add("wildfire.auth", "expected the name of an [auth.*] profile (%s), got %s%s",
			strings.Join(names, ", "), d.got("wildfire.auth", w.Auth), suggest(w.Auth, names))
	}
	d.expect(w.UploadsPerDay >= 0, "wildfire.uploads_per_day", w.UploadsPerDay, "0 (no limit) or more")
	d.expect(w.QueriesPerDay >= 0, "wildfire.queries_per_day", w.QueriesPerDay, "0 (no limit) or more")
	d.expect(w.ReservePercent >= 0 && w.ReservePercent < 100, "wildfire.reserve_percent", w.ReservePercent, "0 to 99")
	d.expect(w.StallTimeout > 0, "wildfire.stall_timeout", w.StallTimeout, "more than 0")
}

func (d *decoder) worker(w Worker) {
	d.expect(w.Concurrency > 0, "worker.concurrency", w.Concurrency, "more than 0")
	d.expect(w.Rate > 0 && w.Rate <= 1e6, "worker.rate", w.Rate, "a number above 0") // neither NaN nor infinite
	d.expect(w.Burst > 0, "worker.burst", w.Burst, "more than 0")
	d.expect(w.MaxAttempts > 0, "worker.max_attempts", w.MaxAttempts, "more than 0")
	d.expect(w.RetryMin > 0, "worker.retry_min", w.RetryMin, "more than 0")
	d.clash(w.RetryMax < w.RetryMin, "worker.retry_max", "worker.retry_min",
		"expected at least worker.retry_min (%s), got %s", w.RetryMin, w.RetryMax)
	d.expect(w.Lease.Std() >= minLease, "worker.lease", w.Lease, "at least "+Duration(minLease).String())
	for source := range w.Roots {
		key := join("worker.roots", source)
		if !name.MatchString(source) {
			d.add(key, "expected a source (%s)", nameRule)
		}
		d.expect(w.Roots[source] != "", key, "", "a folder")
	}
}

func (d *decoder) verdicts(v Verdicts, r Results) {
	d.expect(v.FirstPoll > 0, "verdicts.first_poll", v.FirstPoll, "more than 0")
	d.clash(v.MaxPoll < v.FirstPoll, "verdicts.max_poll", "verdicts.first_poll",
		"expected at least verdicts.first_poll (%s), got %s", v.FirstPoll, v.MaxPoll)
	d.clash(v.Deadline <= v.FirstPoll, "verdicts.deadline", "verdicts.first_poll",
		"expected more than verdicts.first_poll (%s), got %s", v.FirstPoll, v.Deadline)
	d.expect(v.MaliciousAge >= 0, "verdicts.malicious_age", v.MaliciousAge, "0 or more")
	d.expect(v.BenignAge >= 0, "verdicts.benign_age", v.BenignAge, "0 or more")
	d.expect(v.Recheck >= 0, "verdicts.recheck", v.Recheck, "0 or more")
	d.expect(r.MaxBytes > 0, "results.max_bytes", r.MaxBytes, "more than 0")
	// What has been done is remembered as long as results are kept.
	d.clash(r.MaxAge < v.Deadline, "results.max_age", "verdicts.deadline",
		"expected at least verdicts.deadline (%s), got %s", v.Deadline, r.MaxAge)
}

func (d *decoder) profile(at string, a Auth) {
	key := func(k string) string { return join(at, k) }
	d.clash(a.ClientSecret.IsSet() && a.ClientSecretFile != "", key("client_secret_file"), key("client_secret"),
		"expected either this or client_secret, got both")
	for _, u := range []struct{ key, url string }{
		{"token_url", a.TokenURL},
		{"url", a.URL},
		{"redirect_url", a.RedirectURL},
		{"authorize_url", a.AuthorizeURL},
		{"revoke_url", a.RevokeURL},
	} {
		if u.url != "" {
			d.httpURL(key(u.key), u.url)
		}
	}
}

// httpURL wants https, except towards this machine, where tests and simulations live.
func (d *decoder) httpURL(key, s string) {
	if d.failed(key) {
		return
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		d.add(key, `expected an address such as "https://host/path"`)
	case u.User != nil:
		d.add(key, "expected no user or password in the address")
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		d.add(key, "expected https: credentials would travel in the clear to %s", quote(u.Hostname()))
	}
}

// Loopback reports whether host is this machine, by name or by address.
func Loopback(host string) bool { return auth.Loopback(host) }

// CheckListen says what is wrong with an address to listen on; "" means none, and is fine.
func CheckListen(s string) error {
	_, port, err := net.SplitHostPort(s)
	n, bad := strconv.Atoi(port)
	if s != "" && (err != nil || bad != nil || n < 0 || n > 65535) {
		return fmt.Errorf("expected %s, got %s", listenRule, quote(s))
	}
	return nil
}

const listenRule = `an address such as "127.0.0.1:9464", or "" for none`
