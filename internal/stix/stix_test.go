package stix_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"backburn/internal/stix"
	"backburn/internal/testkit/needs"
	"backburn/wildfire"
)

var update = flag.Bool("update", false, "write the goldens")

const (
	sha = "44d88612fea8a8f36de82e1278abb02f44d88612fea8a8f36de82e1278abb02f"
	md5 = "44d88612fea8a8f36de82e1278abb02f"
)

var at = time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)

// full is a report with everything that a bundle can have, and with data that it must leave out.
func full() wildfire.Report {
	return wildfire.Report{
		Malware: "yes",
		SHA256:  sha,
		MD5:     md5,
		Size:    4096,
		Domains: []string{"c2.example.net", "c2.example.net", "xn--mller-kva.example"},
		IPs:     []string{"198.51.100.7", "2001:db8::7", "::ffff:203.0.113.9", "10.0.0.1", "127.0.0.1", "fe80::1%eth0"},
		URLs: []string{
			"http://c2.example.net/gate.php?id=1&v='2'",
			"no url",
			"http://c2.example.net/a b",
			"http://c2.example.net/\\..\\é",
		},
		Dropped: []wildfire.DroppedFile{
			{Path: `C:\Users\Müller\it's.exe`, SHA256: strings.Repeat("ab", 32), MD5: strings.Repeat("cd", 16), Size: 7},
			{Path: "/tmp/", SHA1: strings.Repeat("ef", 20)},
			{Path: "without a hash"},
		},
	}
}

func bundle(t *testing.T, r wildfire.Report) []byte {
	t.Helper()
	b, err := stix.New(r, at)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(b); err != nil {
		t.Fatal(err)
	}

	return out.Bytes()
}

func TestBundle(t *testing.T) {
	t.Parallel()
	golden := filepath.Join("testdata", "bundle.json")
	got := bundle(t, full())
	if *update {
		if err := os.WriteFile(golden, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the bundle differs from %s:\n%s", golden, got)
	}
}

// A harmless file is not malware, and its indicators are not malicious.
func TestHarmlessFiles(t *testing.T) {
	t.Parallel()
	for word, want := range map[string][]string{
		"no":       {`"result": "benign"`, `"benign"`},
		"grayware": {`"result": "suspicious"`, `"anomalous-activity"`},
		"":         {`"result": "unknown"`, `"anomalous-activity"`},
	} {
		got := string(bundle(t, wildfire.Report{Malware: word, SHA256: sha}))
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%q: no %s in %s", word, w, got)
			}
		}
		if strings.Contains(got, `"type": "malware"`) || strings.Contains(got, "malicious") || strings.Contains(got, "relationship") {
			t.Errorf("%q: %s", word, got)
		}
	}
}

func TestNobodysReport(t *testing.T) {
	t.Parallel()
	if _, err := stix.New(wildfire.Report{Malware: "yes"}, at); !errors.Is(err, stix.ErrNoHash) {
		t.Errorf("a report about nothing: %v", err)
	}
}

// A foreign validator agrees with our types and identifiers, and detects faults in them.
func TestForeignValidator(t *testing.T) {
	t.Parallel()
	bundles := map[string]json.RawMessage{
		"full":     bundle(t, full()),
		"harmless": bundle(t, wildfire.Report{Malware: "no", SHA1: strings.Repeat("0a", 20)}),
	}
	sound := map[string]bool{}
	for name := range bundles {
		sound[name] = true
	}

	for name, change := range map[string][2]string{
		"no pattern":          {`"pattern":`, `"x_pattern":`},
		"no type of pattern":  {`"pattern_type": "stix"`, `"x_type": "stix"`},
		"unknown property":    {`"valid_from":`, `"since":`},
		"no time":             {`"created":`, `"x_created":`},
		"identifier's type":   {`"id": "domain-name--`, `"id": "domain--`},
		"another identifier":  {`"value": "c2.example.net"`, `"value": "c3.example.net"`},
		"another file":        {`"MD5": "44d8`, `"MD5": "44d9`},
		"no such object":      {`"sample_ref": "file--`, `"sample_ref": "file--0`},
		"a number as a value": {`"value": "198.51.100.7"`, `"value": 198`},
	} {
		broken := strings.Replace(string(bundles["full"]), change[0], change[1], 1)
		if broken == string(bundles["full"]) {
			t.Fatalf("%s: nothing to break", name)
		}
		bundles[name] = json.RawMessage(broken)
	}

	for name, problems := range validate(t, bundles) {
		if sound[name] != (len(problems) == 0) {
			t.Errorf("%s: %q", name, problems)
		}
	}
}

// validate returns the faults of bundles by name. It installs the validator's packages from the
// lock file.
func validate(t *testing.T, bundles map[string]json.RawMessage) map[string][]string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "validator"))); err != nil {
		t.Fatal(err)
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	npm.Dir = dir
	if out, err := npm.CombinedOutput(); err != nil {
		needs.CannotRun(t, "npm cannot fetch the packages, so bundles were not validated: %v\n%s", err, out)
	}

	in, err := json.Marshal(bundles)
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	node := exec.CommandContext(t.Context(), "node", "check.mjs")
	node.Dir = dir
	node.Stdin = bytes.NewReader(in)
	node.Stderr = &stderr
	out, err := node.Output()
	if err != nil {
		t.Fatalf("validator: %v\n%s", err, stderr.String())
	}
	var problems map[string][]string
	if err := json.Unmarshal(out, &problems); err != nil || len(problems) != len(bundles) {
		t.Fatalf("%v: %s", err, out)
	}

	return problems
}
