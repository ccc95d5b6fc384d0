//go:build unix

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/testkit"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// toml is a configuration value in TOML syntax.
type toml string

// Although the leader of two workers is killed repeatedly, each report is fetched once and
// published once. Only a document that a killed leader had received but not stored is fetched
// again.
func TestReportsOutliveTheirLeaders(t *testing.T) {
	t.Parallel()
	const (
		samples = 60
		kills   = 5
	)
	s := testkit.NewSite(t)
	slow := wildfiretest.Fault{Latency: 20 * time.Millisecond} // so that kills happen during fetches
	s.WildFire.Inject(wildfiretest.Rule{Op: wildfire.OpReport, Fault: slow})
	ns := testkit.StartNATS(t, &server.Options{})
	s.Configure(testkit.Settings{
		"nats.url":              ns.ClientURL(),
		"nats.embedded.enabled": false,
		"reports.verdicts":      toml(`["malware"]`),
	})
	watcher := s.Start("watcher")
	workers := []*testkit.Process{s.Start("worker"), s.Start("worker")}
	js := s.Connect(ns.ClientURL())

	shas := map[string]bool{}
	for i := range samples {
		body := []byte("MZ report " + fmt.Sprint(i))
		sum := sha256.Sum256(body)
		shas[hex.EncodeToString(sum[:])] = true
		s.Drop(testkit.File{Name: "malware-" + fmt.Sprint(i) + ".exe", Body: body})
	}

	for kill := range kills {
		enough := (kill + 1) * samples / (kills + 1)
		s.Called(func() bool { return len(fetched(s)) >= enough })
		for i, w := range workers { // both, since either may lead
			w.Kill()
			workers[i] = s.Start("worker")
		}
	}

	told := map[string]int{}
	for _, ev := range testkit.Reports(t, js, samples) {
		told[ev.Data.SHA256]++
	}

	for sha := range shas {
		if told[sha] != 1 {
			t.Errorf("%s was published %d times", sha, told[sha])
		}
	}

	counts := fetched(s)
	again := 0
	for sha, n := range counts {
		if !shas[sha] {
			t.Errorf("the report on %s was fetched, although no job needs it", sha)
		}

		again += n - 1
	}

	if len(counts) != samples || again > kills {
		t.Errorf("%d reports were fetched, %d of them again; want %d, and at most one again for each of %d kills", len(counts), again, samples, kills)
	}

	for _, w := range append(workers, watcher) {
		w.Stop()
	}
}

// fetched counts the reports that WildFire returned, by sample.
func fetched(s *testkit.Site) map[string]int {
	counts := map[string]int{}
	for _, c := range s.WildFire.Calls() {
		if c.Op == wildfire.OpReport && c.Status == http.StatusOK {
			counts[c.SHA256]++
		}
	}

	return counts
}
