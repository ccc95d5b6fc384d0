//go:build unix

package main

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"backburn/internal/testkit"
	"backburn/results"
)

// demoOutcomes has the result of every sample of the demo, by a part of its name.
var demoOutcomes = map[string]string{
	"documents/invoice.pdf": "benign", "documents/invoice (copy).pdf": "benign", "documents/Rechnung_Müller.pdf": "benign",
	"documents/letter.docx": "benign", "documents/offer.rtf": "benign", "documents/macro-malware.xls": "malware",
	"mail/login-page.html": "phishing", "mail/update.js": "c2", "scripts/cleanup.ps1": "benign", "scripts/backup.sh": "benign",
	"archives/photos.zip": "benign", "archives/toolbar-grayware.tgz": "grayware", "programs/setup.exe": "malware",
	"programs/setup (1).exe": "malware", "programs/eicar-style.com": "malware", "odd/notes.unsupported": "unsupported_type",
	"odd/empty.dat": "empty", "odd/disk-image.bin": "too_large",
}

func TestDemoJSON(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	p := s.Start("backburn", "demo", "--json", "--delay", "300ms")
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}

	uploaded := map[string]int{}
	got := map[string]string{}
	for line := range strings.Lines(p.Stdout()) {
		var e results.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in line %q", err, line)
		}
		if !e.Simulated {
			t.Errorf("the event is not marked: %s", line)
		}

		got[e.Data.Path] = e.Outcome()
		if e.Data.Basis == results.BasisUpload {
			uploaded[e.Data.SHA256]++
		}
	}

	for path, want := range demoOutcomes {
		if got[path] != want {
			t.Errorf("%s: %q, want %q", path, got[path], want)
		}
	}

	if want := len(demoOutcomes) + 1; len(got) != want { // and a program of this machine
		t.Errorf("%d events, want %d: %v", len(got), want, got)
	}

	for sum, n := range uploaded {
		if n != 1 {
			t.Errorf("%s was uploaded %d times", sum, n)
		}
	}

	if left, err := os.ReadDir(s.Path("tmp")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestDemoTable(t *testing.T) {
	t.Parallel()
	s := testkit.NewSite(t)
	p := s.Start("backburn", "demo", "--delay", "300ms", "--keep")
	if code := p.Wait(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}

	for _, row := range []string{
		`FILE +SIZE +SHA-256 +VERDICT +BASIS +TIME`,
		`invoice \(copy\)\.pdf +43 B +[0-9a-f]{12} +benign +(upload|shared|cache) +[0-9.]+s`,
		`Rechnung_Müller\.pdf +43 B +[0-9a-f]{12} +benign`,
		`login-page\.html +\d+ B +[0-9a-f]{12} +PHISHING +upload`,
		`empty\.dat +0 B +\S+ +failed: empty +-`,
		`disk-image\.bin +8\.0 MB +- +failed: too_large +-`,
	} {
		if !regexp.MustCompile(`(?m)^` + row).MatchString(p.Stdout()) {
			t.Errorf("no row %s in\n%s", row, p.Stdout())
		}
	}

	if left, err := os.ReadDir(s.Path("tmp")); err != nil || len(left) != 1 {
		t.Errorf("--keep left %v, %v", left, err)
	}
	if !strings.Contains(p.Stderr(), "All files are in "+s.Path("tmp")) {
		t.Errorf("the output does not name the folder: %s", p.Stderr())
	}
}
