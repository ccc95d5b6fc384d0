package depguard_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// rule forbids imports. A pattern is an import path, or one that ends in "/..." and means
// everything below as well.
type rule struct {
	from   string
	not    []string
	but    []string // imports that the rule allows all the same
	except []string // importers that the rule does not mean
	deep   bool     // forbids importing it by way of others, too
	reason string
}

var (
	servers = []string{"backburn/wildfire/wildfiretest/...", "backburn/auth/authtest/..."}
	helpers = []string{"testing", "github.com/google/go-cmp/...", "go.uber.org/goleak/...", "github.com/rogpeppe/go-internal/testscript/..."}
	nats    = []string{"github.com/nats-io/nats-server/..."}
	spans   = []string{"go.opentelemetry.io/otel/sdk/...", "go.opentelemetry.io/otel/exporters/..."}
)

// leaves are packages that need nothing of ours, so that everything may use them.
var leaves = []string{"backburn/internal/backoff", "backburn/internal/loopback", "backburn/internal/proxy"}

var rules = []rule{
	{
		from: "backburn/wildfire/...", not: []string{"backburn/auth/...", "backburn/results/...", "backburn/pipeline/...", "backburn/internal/...", "backburn/cmd/..."}, but: leaves,
		deep: true, reason: "the client of WildFire is a library of its own; it is given tokens, and knows nothing of where they come from",
	},
	{
		from: "backburn/auth/...", not: []string{"backburn/wildfire/...", "backburn/results/...", "backburn/pipeline/...", "backburn/internal/...", "backburn/cmd/..."}, but: leaves,
		deep: true, reason: "tokens are a library of their own, for APIs other than WildFire as well",
	},
	{
		from: "backburn/results/...", not: []string{"backburn/wildfire/...", "backburn/auth/...", "backburn/pipeline/...", "backburn/internal/...", "backburn/cmd/..."},
		deep: true, reason: "consumers of events import this alone",
	},
	{
		from: "backburn/gateway/...", not: []string{"backburn/internal/...", "backburn/cmd/...", "backburn/auth/..."}, but: append([]string{"backburn/internal/rootfs", "backburn/internal/jets", "backburn/internal/health", "backburn/internal/guard"}, leaves...),
		deep: true, reason: "gateways of others import this alone",
	},
	{
		from: "backburn/pipeline/...", not: []string{"backburn/internal/...", "backburn/cmd/..."}, but: append([]string{"backburn/internal/rootfs", "backburn/internal/jets", "backburn/internal/health", "backburn/internal/guard"}, leaves...),
		deep: true, reason: "the pipeline is wired from above, and is given what it needs",
	},
	{
		from: "backburn/internal/rootfs", not: []string{"backburn/..."},
		deep: true, reason: "opening files safely needs nothing of ours, so that everything may use it",
	},
	{
		from: "backburn/internal/health", not: []string{"backburn/..."}, but: leaves,
		deep: true, reason: "knowing how parts are needs nothing of ours, so that everything may report",
	},
	{
		from: "backburn/internal/jets", not: []string{"backburn/..."}, but: leaves,
		deep: true, reason: "JetStream's errors and small mechanisms need nothing of ours, so that everything may use them",
	},
	{from: "backburn/wildfire/...", not: spans, deep: true, reason: "libraries know the API of OpenTelemetry at most; who wires them brings the rest"},
	{from: "backburn/auth/...", not: spans, deep: true, reason: "libraries know the API of OpenTelemetry at most; who wires them brings the rest"},
	{from: "backburn/results/...", not: spans, deep: true, reason: "libraries know the API of OpenTelemetry at most; who wires them brings the rest"},
	{from: "backburn/pipeline/...", not: spans, deep: true, reason: "libraries know the API of OpenTelemetry at most; who wires them brings the rest"},
	{from: "backburn/...", not: spans, except: []string{"backburn/internal/tracing"}, reason: "spans are sent from one place"},
	{
		from: "backburn/internal/...", not: []string{"backburn/cmd/..."},
		deep: true, reason: "commands are the top",
	},
	{
		from: "backburn/internal/backoff", not: []string{"backburn/..."},
		deep: true, reason: "computing delays needs nothing of ours, so that everything may use it",
	},
	{
		from: "backburn/internal/loopback", not: []string{"backburn/..."},
		deep: true, reason: "recognizing this machine needs nothing of ours, so that everything may use it",
	},
	{
		from: "backburn/internal/proxy", not: []string{"backburn/..."},
		deep: true, reason: "recognizing a proxy's answer needs nothing of ours, so that everything may use it",
	},
	{
		from: "backburn/internal/apart", not: []string{"backburn/..."},
		deep: true, reason: "comparing paths needs nothing of ours, so that everything may use it",
	},
	{
		from: "backburn/internal/guard", not: []string{"backburn/..."}, but: []string{"backburn/internal/rootfs"},
		deep: true, reason: "recognizing what is ours needs to know nothing else of ours, so that everything may ask",
	},
	{
		from: "backburn/internal/local", not: []string{"backburn/..."}, but: leaves,
		deep: true, reason: "listening on this machine needs nothing of ours, so that everything may use it",
	},
	{
		from: "backburn/internal/config", not: []string{"backburn/internal/..."}, but: append([]string{"backburn/internal/admin", "backburn/internal/apart", "backburn/internal/api", "backburn/internal/clamd", "backburn/internal/guard", "backburn/internal/httpserver", "backburn/internal/jets", "backburn/internal/judge", "backburn/internal/local", "backburn/internal/logging", "backburn/internal/mail", "backburn/internal/natsconn", "backburn/internal/rootfs", "backburn/internal/health", "backburn/internal/sink", "backburn/internal/sink/credential", "backburn/internal/sink/format", "backburn/internal/sse", "backburn/internal/tracing"}, leaves...),
		deep: true, reason: "everything else inside stands on the configuration",
	},
	{
		from: "backburn/internal/httpserver", not: []string{"backburn/..."}, but: leaves,
		deep: true, reason: "a listener is given what it serves",
	},
	{
		from: "backburn/internal/sse", not: []string{"backburn/..."}, but: append([]string{"backburn/internal/httpserver"}, leaves...),
		deep: true, reason: "streams are given what they send",
	},
	{
		from: "backburn/internal/admin", not: []string{"backburn/internal/..."}, but: append([]string{"backburn/internal/httpserver", "backburn/internal/health"}, leaves...),
		deep: true, reason: "the HTTP side is given what it shows",
	},
	{
		from: "backburn/...", not: servers, except: append([]string{"backburn/cmd/backburn", "backburn/bench/...", "backburn/internal/testkit"}, servers...),
		reason: "servers to test against belong into tests; only `backburn simulate`, `run --simulate` and `demo` ship them",
	},
	{
		from: "backburn/cmd/...", not: helpers,
		deep: true, reason: "test helpers must not be linked into what ships",
	},
	{from: "backburn/cmd/watcher", not: nats, deep: true, reason: "only `backburn run` starts a server"},
	{from: "backburn/cmd/worker", not: nats, deep: true, reason: "only `backburn run` starts a server"},
}

// pkg is what is used of the output of `go list`; tests are not part of it.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string // Imports, theirs, and so on
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", "backburn/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var packages []pkg
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func matches(pattern, path string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == pattern
}

func anyMatches(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

// violations gives each forbidden import as "importer imports imported: reason".
func violations(packages []pkg, rules []rule) []string {
	var found []string
	for _, r := range rules {
		for _, p := range packages {
			if !matches(r.from, p.ImportPath) || anyMatches(r.except, p.ImportPath) {
				continue
			}
			imports := p.Imports
			if r.deep {
				imports = p.Deps
			}
			for _, imported := range imports {
				if anyMatches(r.not, imported) && !anyMatches(r.but, imported) {
					found = append(found, p.ImportPath+" imports "+imported+": "+r.reason)
				}
			}
		}
	}
	return found
}

func TestImportsPointOneWay(t *testing.T) {
	t.Parallel()
	packages := list(t)
	if len(packages) < 8 {
		t.Fatalf("go list found %d packages only", len(packages))
	}
	for _, v := range violations(packages, rules) {
		t.Error(v)
	}
}

// TestRulesForbid breaks each kind of rule on purpose.
func TestRulesForbid(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		p    pkg
		want bool
	}{
		"library imports library":             {pkg{"backburn/wildfire", nil, []string{"backburn/auth"}}, true},
		"library imports itself":              {pkg{"backburn/wildfire/wildfiretest", nil, []string{"backburn/wildfire"}}, false},
		"results from below":                  {pkg{"backburn/results", nil, []string{"backburn/pipeline"}}, true},
		"pipeline imports libraries":          {pkg{"backburn/pipeline", nil, []string{"backburn/auth", "backburn/results"}}, false},
		"pipeline imports inside":             {pkg{"backburn/pipeline/watch", nil, []string{"backburn/internal/config"}}, true},
		"pipeline opens files":                {pkg{"backburn/pipeline/watch", nil, []string{"backburn/internal/rootfs"}}, false},
		"pipeline uses JetStream's helpers":   {pkg{"backburn/pipeline/queue", nil, []string{"backburn/internal/jets"}}, false},
		"pipeline reports its health":         {pkg{"backburn/pipeline/watch", nil, []string{"backburn/internal/health"}}, false},
		"health imports pipeline":             {pkg{"backburn/internal/health", nil, []string{"backburn/pipeline"}}, true},
		"pipeline asks the guard":             {pkg{"backburn/pipeline/watch", nil, []string{"backburn/internal/guard"}}, false},
		"guard imports config":                {pkg{"backburn/internal/guard", nil, []string{"backburn/internal/config"}}, true},
		"jets imports pipeline":               {pkg{"backburn/internal/jets", nil, []string{"backburn/pipeline"}}, true},
		"auth stays self-contained":           {pkg{"backburn/auth/natsbucket", nil, []string{"backburn/internal/jets"}}, true},
		"auth backs off":                      {pkg{"backburn/auth", nil, []string{"backburn/internal/backoff"}}, false},
		"backoff imports pipeline":            {pkg{"backburn/internal/backoff", nil, []string{"backburn/pipeline"}}, true},
		"rootfs imports pipeline":             {pkg{"backburn/internal/rootfs", nil, []string{"backburn/pipeline"}}, true},
		"inside imports pipeline":             {pkg{"backburn/internal/config", nil, []string{"backburn/pipeline"}}, false},
		"config imports inside":               {pkg{"backburn/internal/config", nil, []string{"backburn/internal/cli"}}, true},
		"inside imports a command":            {pkg{"backburn/internal/cli", nil, []string{"backburn/cmd/worker"}}, true},
		"worker imports a test server":        {pkg{"backburn/cmd/worker", []string{"backburn/wildfire/wildfiretest"}, nil}, true},
		"backburn imports a test server":      {pkg{"backburn/cmd/backburn", []string{"backburn/wildfire/wildfiretest"}, nil}, false},
		"testing by way of another":           {pkg{"backburn/cmd/backburn", nil, []string{"testing"}}, true},
		"worker with a server":                {pkg{"backburn/cmd/worker", nil, []string{"github.com/nats-io/nats-server/v2/server"}}, true},
		"library brings an exporter":          {pkg{"backburn/pipeline", nil, []string{"go.opentelemetry.io/otel/exporters/otlp/otlptrace"}}, true},
		"library uses the API of spans":       {pkg{"backburn/pipeline", []string{"go.opentelemetry.io/otel/trace"}, []string{"go.opentelemetry.io/otel/trace"}}, false},
		"tracing sends spans":                 {pkg{"backburn/internal/tracing", []string{"go.opentelemetry.io/otel/sdk/trace"}, nil}, false},
		"a name that only begins like a rule": {pkg{"backburn/wildfirex", nil, []string{"backburn/auth"}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := violations([]pkg{tc.p}, rules)
			if len(got) > 0 != tc.want {
				t.Errorf("got %q", got)
			}
		})
	}
}
