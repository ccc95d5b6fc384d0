package pipeline_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

// channel is a channel of an AsyncAPI document.
type channel struct {
	Address    string `yaml:"address"`
	Parameters map[string]struct {
		Enum []string `yaml:"enum"`
	} `yaml:"parameters"`
	Messages map[string]struct {
		Ref string `yaml:"$ref"`
	} `yaml:"messages"`
}

// docs/asyncapi.yaml has the subjects that the code uses, and its references resolve.
func TestAsyncAPIMatchesTheCode(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		AsyncAPI string             `yaml:"asyncapi"`
		Channels map[string]channel `yaml:"channels"`
	}
	var whole any
	if err := yaml.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, &whole); err != nil || doc.AsyncAPI != "3.0.0" {
		t.Fatalf("AsyncAPI %q: %v", doc.AsyncAPI, err)
	}
	refs(whole, func(ref string) {
		if name, ok := strings.CutPrefix(ref, "#/"); ok {
			if lookUp(whole, strings.Split(name, "/")) == nil {
				t.Errorf("reference %s does not resolve", ref)
			}
			return
		}
		if info, err := os.Stat(filepath.Join("../docs", ref)); err != nil || !info.Mode().IsRegular() {
			t.Errorf("%s: %v", ref, err)
		}
	})

	n := queue.NamesFor("backburn")
	var priorities, reasons []string
	for _, p := range pipeline.Priorities() {
		priorities = append(priorities, string(p))
	}
	for _, r := range results.Reasons() {
		reasons = append(reasons, string(r))
	}
	var actions []string
	for _, a := range results.AuditActions() {
		actions = append(actions, string(a))
	}
	verdicts := []string{"benign", "malware", "grayware", "phishing", "c2", "unrecognised"}
	for name, want := range map[string]struct {
		address string
		enums   map[string][]string
	}{
		"jobs":      {n.JobSubject("{priority}", "{source}"), map[string][]string{"priority": priorities}},
		"submitted": {results.Event{Type: results.Submitted, Data: results.Data{Source: "{source}"}}.Subject("backburn"), nil},
		"verdict":   {n.ResultsSubject(results.Verdict.Name(), "{verdict}", "{source}"), map[string][]string{"verdict": verdicts}},
		"failed":    {n.ResultsSubject(results.Failed.Name(), "{reason}", "{source}"), map[string][]string{"reason": reasons}},
		"changed":   {n.ResultsSubject(results.Changed.Name(), "{verdict}", "{source}"), map[string][]string{"verdict": verdicts}},
		"audit":     {n.ResultsSubject(results.Audited.Name(), "{action}", results.AuditSource), map[string][]string{"action": actions}},
		"report":    {n.ResultsSubject(results.Reported.Name(), "{verdict}", "{source}"), map[string][]string{"verdict": verdicts}},
	} {
		c, ok := doc.Channels[name]
		if !ok || c.Address != want.address {
			t.Errorf("channel %s has the address %q, want %q", name, c.Address, want.address)
		}
		for p, enum := range want.enums {
			if !slices.Equal(c.Parameters[p].Enum, enum) {
				t.Errorf("channel %s: %s is one of %v, want %v", name, p, c.Parameters[p].Enum, enum)
			}
		}
		for p := range c.Parameters {
			if !strings.Contains(c.Address, "{"+p+"}") {
				t.Errorf("channel %s: %s is not in its address", name, p)
			}
		}
		delete(doc.Channels, name)
	}
	for name := range doc.Channels {
		t.Errorf("channel %s is not in the table", name)
	}
}

// refs visits every reference of a document.
func refs(doc any, visit func(string)) {
	switch v := doc.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok && k == "$ref" {
				visit(s)
			}
			refs(e, visit)
		}
	case []any:
		for _, e := range v {
			refs(e, visit)
		}
	}
}

func lookUp(doc any, path []string) any {
	for _, p := range path {
		m, _ := doc.(map[string]any)
		doc = m[p]
	}
	return doc
}
