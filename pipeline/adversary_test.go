package pipeline_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"backburn/internal/health"
	"backburn/internal/jets"
	"backburn/internal/testkit/schemas"
	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/worker"
	"backburn/results"
	"backburn/results/schema"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// The tests in this file play hostile or broken neighbors: a gateway, a service, a proxy, a file
// server, a person with an operator's permissions.

// withID is the header of a raw job.
func withID(id, filename string) nats.Header {
	return nats.Header{nats.MsgIdHdr: {id}, queue.HeaderFilename: {filename}}
}

// submitJSON submits a job as JSON text, whatever it says.
func (f *fixture) submitJSON(source, id, body string) {
	f.t.Helper()
	f.publish("backburn.jobs.normal."+source, nats.Header{"Content-Type": {"application/json"}, nats.MsgIdHdr: {id}}, body)
}

// A gateway submits harmless contents under the ID of another source's job, in every possible
// spelling. The other job still ends with its own verdict.
func TestNoSourceEndsAnothersJob(t *testing.T) {
	t.Parallel()
	const victim = "mail-999"
	long := strings.Repeat("x", 200) + ".1" // not a valid subject token, so it is hashed
	for name, attack := range map[string]func(f *fixture, id string){
		"the id": func(f *fixture, id string) {
			f.publish("backburn.jobs.urgent.gw", withID(id, "good.exe"), "MZ good")
		},
		"a header of version 1": func(f *fixture, id string) {
			h := withID("other", "good.exe")
			h["Backburn-Job"] = []string{id}
			h["Backburn-Subject"] = []string{"backburn.jobs.normal.mail"}
			f.publish("backburn.jobs.urgent.gw", h, "MZ good")
		},
		"source and id": func(f *fixture, id string) {
			f.publish("backburn.jobs.urgent.gw", withID("mail/"+id, "good.exe"), "MZ good")
		},
		"the id's hash": func(f *fixture, id string) {
			f.publish("backburn.jobs.urgent.gw", withID(pipeline.JobKey(id), "good.exe"), "MZ good")
		},
		"a record": func(f *fixture, id string) {
			body := fmt.Sprintf(`{"id":%q,"source":"mail","priority":"normal","job":{"version":1,"kind":"file","filename":"x"},"verified":true}`, id)
			f.publish("backburn.jobs.urgent.gw", nats.Header{
				nats.MsgIdHdr: {id}, "Backburn-Record": {fmt.Sprint(len(body))}, "Backburn-State": {"done"},
				queue.HeaderFilename: {"good.exe"},
			}, body+"MZ good")
		},
		"JSON with more fields": func(f *fixture, id string) {
			root := f.cfg.Roots["gw"]
			if err := os.WriteFile(filepath.Join(root, "good.exe"), []byte("MZ good"), 0o600); err != nil {
				f.t.Fatal(err)
			}
			f.submitJSON("gw", id, fmt.Sprintf(`{"version":1,"kind":"file","filename":"good.exe","content":{"path":"good.exe"},`+
				`"ID":%q,"id":%q,"source":"mail","Source":"mail","verified":true,"Verified":true}`, id, id))
		},
	} {
		for _, id := range []string{victim, long} {
			t.Run(fmt.Sprintf("%s/%d bytes", name, len(id)), func(t *testing.T) {
				t.Parallel()
				f := newFixture(t)
				f.cfg.Roots["gw"] = t.TempDir()
				attack(f, id)
				f.submitRaw(id, "mail", "malware.exe", "MZ bad")
				attack(f, id)
				f.startWorker()
				all := f.waitEventsUntil(func(es events) bool {
					mine, others := 0, 0
					for _, e := range es.final() {
						if e.Data.Source == "mail" {
							mine++
						} else {
							others++
						}
					}
					return mine >= 1 && others >= 1
				})
				f.waitIdle()
				all = f.waitEvents(len(all.final()))

				mine := 0
				for _, e := range all.final() {
					if e.Data.Source == "mail" {
						mine++
						if e.Data.JobID != id || e.Data.Verdict != "malware" || e.Data.SHA256 != sha256Hex("MZ bad") {
							t.Errorf("the victim's event: %s %s %s", e.ID(), e.Outcome(), e.Data.SHA256)
						}
					}
				}
				if mine != 1 {
					t.Errorf("the victim's job has %d final events", mine)
				}
				ev, ended, err := f.q.Ledger().Final(t.Context(), pipeline.Ref{Source: "mail", ID: id})
				if err != nil || !ended || ev.Data.Verdict != "malware" {
					t.Errorf("the victim's record: %s %v %v", ev.Outcome(), ended, err)
				}
			})
		}
	}
}

// Two sources submit contents under the same ID that are too large for a message. Each gets an
// object of its own, even while both jobs wait.
func TestLargeContentsAreKeptPerSource(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	store := f.q.Control()
	now := time.Now()
	if _, err := fleet.PauseManually(t.Context(), store, pipeline.Uploads, "ann", "", now, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"mail": "malware.exe", "gw": "good.exe"}
	const size = 1<<20 - 8<<10 // no room for the headers that travel with them
	body := func(source string) string { return strings.Repeat("MZ of "+source+"\n", size)[:size] }
	for source, name := range names {
		f.submitRaw("same", source, name, body(source))
	}
	f.startWorker()
	f.waitStatus(func(st queue.Status) bool { return st.Parked.Jobs == len(names) })
	objects, err := f.q.Objects().List(t.Context(), "")
	if err != nil || len(objects) != len(names) {
		t.Fatalf("%d objects (%v), want one of each source", len(objects), err)
	}

	if _, err := fleet.Resume(t.Context(), store, pipeline.Uploads, now); err != nil {
		t.Fatal(err)
	}
	for _, ev := range f.waitEvents(len(names)) {
		if source := ev.Data.Source; ev.Type.Final() && (ev.Type != results.Verdict || ev.Data.SHA256 != sha256Hex(body(source)) ||
			(ev.Data.Verdict == "malware") != (source == "mail")) {
			t.Errorf("%s: %s %+v, of %s", source, ev.Outcome(), ev.Data.Error, ev.Data.SHA256)
		}
	}
}

// A gateway claims a victim's hash for other contents, or for contents that cannot be read. The
// victim's file is not affected: no claim, no refusal, no verdict.
func TestClaimedHashesTouchNothing(t *testing.T) {
	t.Parallel()
	const victim = "MZ the victim, malware"
	for name, attack := range map[string]func(f *fixture, i int){
		"an object that is not there": func(f *fixture, i int) {
			f.submitJSON("gw", fmt.Sprint("a-", i), fmt.Sprintf(`{"version":1,"kind":"file","filename":"x.exe","sha256":%q,"content":{"object":"none-%d"}}`, sha256Hex(victim), i))
		},
		"other contents, too large": func(f *fixture, i int) {
			name := fmt.Sprint("big-", i)
			f.putObject(name, strings.Repeat("garbage ", 40<<10))
			f.submitJSON("gw", name, fmt.Sprintf(`{"version":1,"kind":"file","filename":"x.exe","sha256":%q,"content":{"object":%q}}`, sha256Hex(victim), name))
		},
		"other contents, refused": func(f *fixture, i int) {
			name := fmt.Sprint("other-", i)
			f.putObject(name, "nothing that anybody supports")
			f.submitJSON("gw", name, fmt.Sprintf(`{"version":1,"kind":"file","filename":"unsupported.exe","sha256":%q,"content":{"object":%q}}`, sha256Hex(victim), name))
		},
		"a path in another's spool": func(f *fixture, i int) {
			id := fmt.Sprint("s-", i)
			f.submitJSON("gw", id, fmt.Sprintf(`{"version":1,"kind":"file","filename":"x.exe","sha256":%q,"content":{"path":".backburn/claimed/%s-x.exe"}}`, sha256Hex(victim), id))
		},
		"a raw body with a hash": func(f *fixture, i int) {
			h := withID(fmt.Sprint("r-", i), "unsupported.exe")
			h["Backburn-SHA256"] = []string{sha256Hex(victim)}
			f.publish("backburn.jobs.urgent.gw", h, fmt.Sprint("raw ", i))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, wildfiretest.WithMaxFileSize(100<<10))
			f.cfg.MaxFileSize = 200 << 10
			f.cfg.RetryMin = time.Hour
			f.cfg.RetryMax = time.Hour
			f.cfg.MaxAttempts = 2
			f.cfg.Roots["gw"] = t.TempDir()
			f.startWorker()
			for i := range 20 {
				attack(f, i)
			}
			f.submitRaw("victim", "mail", "invoice.exe", victim)
			all := f.waitEventsUntil(func(es events) bool { return len(es.ofJob("victim").final()) > 0 })
			if ev := all.onlyOf(t, "victim"); ev.Data.SHA256 != sha256Hex(victim) || ev.Type != results.Verdict || ev.Data.Basis != results.BasisUpload {
				t.Errorf("the victim's job: %s by %s %+v", ev.Outcome(), ev.Data.Basis, ev.Data.Error)
			}
			for _, ev := range all.final() {
				if ev.Data.Source == "gw" && ev.Type == results.Verdict && ev.Data.SHA256 == sha256Hex(victim) {
					t.Errorf("%s got the verdict about contents that nobody read", ev.Data.JobID)
				}
			}
		})
	}
}

// putObject stores an object, as a gateway does.
func (f *fixture) putObject(name, body string) {
	f.t.Helper()
	files, err := f.q.JetStream().ObjectStore(f.t.Context(), f.q.FilesBucket())
	if err == nil {
		_, err = files.PutString(f.t.Context(), name, body)
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// An object is replaced after its job was submitted. The new contents get no verdict in the name of
// the old.
func TestReplacedObjectsAreNotJudged(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		job   string
		other string
	}{
		"without a hash":    {`{"version":1,"kind":"file","filename":"x.exe","content":{"object":"o"}}`, "MZ other, harmless"},
		"with its size":     {`{"version":1,"kind":"file","filename":"x.exe","size":8,"content":{"object":"o"}}`, "MZ good!"},
		"with its hash":     {fmt.Sprintf(`{"version":1,"kind":"file","filename":"x.exe","sha256":%q,"content":{"object":"o"}}`, sha256Hex("MZ mal 1")), "MZ good!"},
		"emptied":           {`{"version":1,"kind":"file","filename":"x.exe","size":8,"content":{"object":"o"}}`, ""},
		"emptied, unsized":  {fmt.Sprintf(`{"version":1,"kind":"file","filename":"x.exe","sha256":%q,"content":{"object":"o"}}`, sha256Hex("MZ mal 1")), ""},
		"emptied, unhashed": {`{"version":1,"kind":"file","filename":"x.exe","content":{"object":"o"}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.putObject("o", "MZ mal 1")
			f.submitJSON("mail", "a", tc.job)
			accepted := f.lastJobTime()
			for !f.objectTime("o").After(accepted.Add(200 * time.Millisecond)) { // the maximum difference between the clocks of two servers
				f.putObject("o", tc.other)
			}
			f.startWorker()
			if ev := f.waitEvents(1).onlyOf(t, "a"); ev.Data.Error == nil || ev.Data.Error.Reason != results.ContentChanged {
				t.Errorf("%s %+v, want content_changed", ev.Outcome(), ev.Data.Error)
			}
			if n := f.wildfire.Count(wildfire.OpSubmitFile); n != 0 {
				t.Errorf("%d uploads", n)
			}
		})
	}
}

// lastJobTime is when the server accepted the last job.
func (f *fixture) lastJobTime() time.Time {
	f.t.Helper()
	jobs, err := f.q.JetStream().Stream(f.t.Context(), f.q.JobsStream())
	if err != nil {
		f.t.Fatal(err)
	}

	return jobs.CachedInfo().State.LastTime
}

// objectTime is when the server stored an object.
func (f *fixture) objectTime(name string) time.Time {
	f.t.Helper()
	files, err := f.q.JetStream().ObjectStore(f.t.Context(), f.q.FilesBucket())
	if err != nil {
		f.t.Fatal(err)
	}
	info, err := files.GetInfo(f.t.Context(), name)
	if err != nil {
		f.t.Fatal(err)
	}

	return info.ModTime
}

// A file is cut short after it was submitted.
func TestTruncatedFilesAreChanged(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	root := t.TempDir()
	f.cfg.Roots["mail"] = root
	for _, dir := range []string{"", ".backburn/claimed"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	body := "MZ whole"
	want := map[string]results.Reason{
		"sized":    results.ContentChanged,
		"hashed":   results.ContentChanged,
		"both":     results.ContentChanged,
		"spooled":  results.ContentChanged,
		"nothing":  results.Empty, // the job did not say its size
		"original": results.Empty, // it was empty when it was submitted
	}
	for id := range want {
		j := pipeline.Job{
			ID:       id,
			Version:  1,
			Kind:     pipeline.KindFile,
			Filename: id + ".exe",
			Content:  &pipeline.Content{Path: id + ".exe"},
		}
		switch id {
		case "sized":
			j.Size = int64(len(body))
		case "hashed":
			j.SHA256 = sha256Hex(body)
		case "spooled":
			j.Content.Path = ".backburn/claimed/spooled-x.exe"
			fallthrough
		case "both":
			j.Size, j.SHA256 = int64(len(body)), sha256Hex(body)
		case "original":
			j.SHA256 = sha256Hex("")
		}
		if err := os.WriteFile(filepath.Join(root, j.Content.Path), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		f.submitJob("mail", j)
	}
	f.startWorker()
	all := f.waitEvents(len(want))
	for id, reason := range want {
		if ev := all.onlyOf(t, id); ev.Data.Error == nil || ev.Data.Error.Reason != reason {
			t.Errorf("%s: %s %+v, want %s", id, ev.Outcome(), ev.Data.Error, reason)
		}
	}
}

// hostileJobs are JSON jobs whose fields would break an event if they were copied unchecked.
var hostileJobs = map[string]string{
	"negative size":   `{"version":1,"kind":"file","filename":"x","size":-5,"content":{"object":"o"}}`,
	"no hash":         `{"version":1,"kind":"file","filename":"x","sha256":"zz","content":{"object":"o"}}`,
	"hash of nothing": `{"version":1,"kind":"file","filename":"x","sha256":"zz","content":{"object":"none"}}`,
	"half a hash":     `{"version":1,"kind":"file","filename":"x","sha256":"` + strings.Repeat("a", 63) + `","content":{"object":"o"}}`,
	"huge size":       `{"version":1,"kind":"file","filename":"x","size":9223372036854775807,"content":{"object":"o"}}`,
	"year 12000":      `{"version":1,"kind":"file","filename":"x","received_at":"12000-01-01T00:00:00Z","content":{"object":"o"}}`,
	"year 10000":      `{"version":1,"kind":"file","filename":"x","received_at":"9999-12-31T23:59:59-05:00","content":{"object":"o"}}`,
	"year 0":          `{"version":1,"kind":"file","filename":"x","received_at":"0000-12-31T00:00:00Z","content":{"object":"o"}}`,
	"no time":         `{"version":1,"kind":"file","filename":"x","received_at":"0001-01-01T00:00:00Z","content":{"object":"o"}}`,
	"before year 0":   `{"version":1,"kind":"file","filename":"x","received_at":"0000-01-01T00:00:00+05:00","content":{"object":"o"}}`,
	"text as link":    `{"version":1,"kind":"url","url":"javascript:alert(1)"}`,
	"spaced link":     `{"version":1,"kind":"url","url":"https://exa mple.test/ a"}`,
	"control in link": `{"version":1,"kind":"url","url":"https://example.test/\u0007"}`,
	"both kinds":      `{"version":1,"kind":"file","filename":"x","url":"https://example.test","content":{"object":"o"}}`,
	"much metadata":   `{"version":1,"kind":"file","filename":"x","metadata":{"k":"` + strings.Repeat("v", 9000) + `"},"content":{"object":"o"}}`,
	"odd metadata":    `{"version":1,"kind":"file","filename":"x","metadata":{"\u0000 <b>":"\u202e","":""},"content":{"object":"o"}}`,
	"odd name":        `{"version":1,"kind":"file","filename":"../../\u0000\u202eexe.txt","path":"/etc/passwd","content":{"object":"o"}}`,
	"name of bytes":   `{"version":1,"kind":"file","filename":"x","filename_b64":"/////w==","content":{"object":"o"}}`,
	"deep":            strings.Repeat(`{"metadata":`, 2000) + strings.Repeat("}", 2000),
}

// Whatever a gateway writes, each resulting event follows the schema, and a strict reader accepts
// it.
func TestHostileFieldsReachNoEvent(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.putObject("o", "MZ hostile, wildfire-test:phishing")
	ids := map[string]string{}
	n := 0
	for name, body := range hostileJobs {
		for _, id := range []string{"job-" + name, "\x01\x7f" + name, strings.Repeat("é", 600) + name, "a b\t" + name} {
			h := nats.Header{"Content-Type": {"application/json"}, nats.MsgIdHdr: {id}}
			f.publish("backburn.jobs.normal.gw", h, body)
			ids[id] = name
			n++
		}
	}
	for i, at := range []string{"9999-12-31T23:59:59-05:00", "0000-01-01T00:00:00+05:00", "0001-01-01T01:00:00+01:00", "yesterday"} {
		h := withID(fmt.Sprint("raw-", i), "x.exe")
		h[queue.HeaderReceived] = []string{at}
		f.publish("backburn.jobs.normal.gw", h, fmt.Sprint("MZ ", at))
		n++
	}
	f.startWorker()
	f.waitEvents(n)

	s := schemas.Compile(t, schema.Event)
	stream, err := f.q.JetStream().Stream(t.Context(), f.q.ResultsStream())
	if err != nil {
		t.Fatal(err)
	}
	for seq := stream.CachedInfo().State.FirstSeq; seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		if err := schemas.Validate(t, s, m.Data); err != nil {
			t.Errorf("%v\n%.600s", err, m.Data)
		}
		var strict struct {
			Subject string `json:"subject"`
			Data    struct {
				Size *int64 `json:"size"`
			} `json:"data"`
		}
		if err := json.Unmarshal(m.Data, &strict); err != nil || strict.Data.Size != nil && *strict.Data.Size < 0 {
			t.Errorf("%v: %.600s", err, m.Data)
		}
		if strict.Subject != "" && !pipeline.ValidSHA256(strict.Subject) && !pipeline.ValidURL(strict.Subject) {
			t.Errorf("subject %q", strict.Subject)
		}
	}
}

// submitMethods are the ways in which contents are submitted. Each returns the job's id.
var submitMethods = map[string]func(f *fixture, id, name, body string){
	"raw": func(f *fixture, id, name, body string) { f.submitRaw(id, "mail", name, body) },
	"path": func(f *fixture, id, name, body string) {
		f.writeFile(id+name, body)
		f.submitJSON("mail", id, fmt.Sprintf(`{"version":1,"kind":"file","filename":%q,"content":{"path":%q}}`, name, id+name))
	},
	"path with a hash": func(f *fixture, id, name, body string) {
		f.writeFile(id+name, body)
		f.submitJSON("mail", id, fmt.Sprintf(`{"version":1,"kind":"file","filename":%q,"sha256":%q,"content":{"path":%q}}`, name, strings.ToUpper(sha256Hex(body)), id+name))
	},
	"object": func(f *fixture, id, name, body string) {
		f.putObject(id, body)
		f.submitJSON("mail", id, fmt.Sprintf(`{"version":1,"kind":"file","filename":%q,"content":{"object":%q}}`, name, id))
	},
	"publisher": func(f *fixture, id, name, body string) {
		_, err := f.q.Publisher().Submit(f.t.Context(), pipeline.Job{ID: id, Source: "mail", Priority: pipeline.Normal, Filename: name},
			queue.FromReader(strings.NewReader(body), 1<<20))
		if err != nil {
			f.t.Fatal(err)
		}
	},
	"once": func(f *fixture, id, name, body string) {
		_, err := f.q.CheckingPublisher().Submit(f.t.Context(), pipeline.Job{ID: id, Source: "mail", Priority: pipeline.Normal, Filename: name},
			queue.FromReader(strings.NewReader(body), 1<<20))
		if err != nil {
			f.t.Fatal(err)
		}
	},
}

func (f *fixture) writeFile(name, body string) {
	f.t.Helper()
	if err := os.WriteFile(filepath.Join(f.cfg.Roots["mail"], name), []byte(body), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// However contents were submitted, and whatever their outcome, the final event has their hash, size
// and time of arrival.
func TestFinalEventsHaveHashAndSize(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.Roots["mail"] = t.TempDir()
	f.cfg.MaxAttempts = 2
	f.wildfire.Know(wildfiretest.Known{SHA256: sha256Hex("MZ known"), Verdict: wildfire.Grayware})
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Name: "sick", Fault: wildfiretest.Fault{Status: 500}})

	outcomes := map[string]func(way string) (name, body, want string){
		"upload": func(way string) (string, string, string) { return "malware.exe", "MZ upload by " + way, "malware" },
		"shared": func(string) (string, string, string) { return "phishing.exe", "MZ shared", "phishing" },
		"lookup": func(string) (string, string, string) { return "x.exe", "MZ known", "grayware" },
		"refused": func(way string) (string, string, string) {
			return "unsupported.xyz", "what by " + way, "unsupported_type"
		},
		"fault": func(way string) (string, string, string) {
			return "sick.exe", "MZ sick by " + way, "attempts_exhausted"
		},
		"lost": func(way string) (string, string, string) { return "unanswered.exe", "MZ lost by " + way, "benign" },
	}
	type expected struct{ body, outcome string }
	want := map[string]expected{}
	began := time.Now().Add(-time.Second)
	give := func(way, outcome string) {
		name, body, ends := outcomes[outcome](way)
		id := strings.ReplaceAll(way+"-"+outcome, " ", "-")
		submitMethods[way](f, id, name, body)
		want[id] = expected{body, ends}
	}
	for way := range submitMethods {
		give(way, "shared")
	}
	f.startWorker()
	var all events
	for way := range submitMethods { // one at a time: five failing files in a row would pause uploads
		for outcome := range outcomes {
			if outcome != "shared" {
				give(way, outcome)
			}
		}
		all = f.waitEvents(len(want))
	}
	check := func(id string, w expected, ev results.Event) {
		t.Helper()
		if ev.Outcome() != w.outcome || ev.Data.SHA256 != sha256Hex(w.body) || ev.Data.Size != int64(len(w.body)) ||
			ev.Data.ReceivedAt.Before(began) || ev.Data.ReceivedAt.After(time.Now()) {
			t.Errorf("%s: %s, sha256 %s, %d bytes, received %s; want %s, %d bytes",
				id, ev.Outcome(), ev.Data.SHA256, ev.Data.Size, ev.Data.ReceivedAt, w.outcome, len(w.body))
		}
		if ev.Type == results.Verdict && w.outcome != "grayware" && ev.Data.MD5 == "" {
			t.Errorf("%s: no md5, although WildFire returned it", id)
		}
	}
	for id, w := range want {
		check(id, w, all.onlyOf(t, id))
	}
	for _, ev := range all.ofType(results.Submitted) {
		if w := want[ev.Data.JobID]; ev.Data.SHA256 != sha256Hex(w.body) || ev.Data.Size != int64(len(w.body)) ||
			ev.Data.MD5 == "" && !strings.HasSuffix(ev.Data.JobID, "-lost") {
			t.Errorf("%s: sha256 %q, md5 %q, %d bytes", ev.ID(), ev.Data.SHA256, ev.Data.MD5, ev.Data.Size)
		}
	}

	// A replay has the same facts.
	f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Name: "never"})
	for _, l := range f.letters(queue.DeadFilter{Reason: results.UnsupportedType}) {
		if _, err := f.q.Dead().Replay(t.Context(), l.Seq, queue.ReplayOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	all = f.waitEvents(len(want) + len(submitMethods))
	for id, w := range want {
		if w.outcome == "unsupported_type" {
			check(id+"~1", w, all.onlyOf(t, id+"~1"))
		}
	}
}

// One worker cannot reach contents that another can reach. It fails no job, stops fetching jobs of
// that source, and reports it. The other worker does the work.
func TestAWorkerWithoutAccessFailsNoJob(t *testing.T) {
	t.Parallel()
	for name, root := range map[string]func(t *testing.T) map[string]string{
		"no folder is configured": func(*testing.T) map[string]string { return map[string]string{} },
		"the folder is not there": func(t *testing.T) map[string]string {
			return map[string]string{"mail": filepath.Join(t.TempDir(), "none")}
		},
		"it is a file": func(t *testing.T) map[string]string {
			name := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(name, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return map[string]string{"mail": name}
		},
		"it is a link to nothing": func(t *testing.T) map[string]string {
			name := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink("nowhere", name); err != nil {
				t.Fatal(err)
			}
			return map[string]string{"mail": name}
		},
		"an empty mount point": func(t *testing.T) map[string]string { return map[string]string{"mail": t.TempDir()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			good := t.TempDir()
			if err := os.MkdirAll(filepath.Join(good, pipeline.ClaimedDir), 0o700); err != nil {
				t.Fatal(err)
			}
			f.cfg.Roots = root(t)
			parts := health.New(zerolog.Nop())
			blind, err := worker.New(f.q, f.cfg, f.client, f.client, worker.WithHealth(parts))
			if err != nil {
				t.Fatal(err)
			}
			f.runWorker(blind)

			const jobs = 40
			f.cfg.Roots = map[string]string{"mail": good}
			for i := range jobs {
				id := fmt.Sprint("job-", i)
				f.writeFile(pipeline.ClaimedDir+"/"+id+"-x.exe", "MZ "+id)
				f.submitJSON("mail", id, fmt.Sprintf(`{"version":1,"kind":"file","filename":"x.exe","content":{"path":"%s/%s-x.exe"}}`, pipeline.ClaimedDir, id))
			}
			f.waitEventsUntil(func(events) bool { return !health.Ready(parts.Parts()) })
			if s := parts.Part("source", "mail").Status(); s.State != health.Failed || s.Remedy == "" {
				t.Errorf("the worker's health is %+v", s)
			}
			f.submitRaw("raw", "other", "x.exe", "MZ raw") // it still serves other sources
			f.waitEventsUntil(func(es events) bool { return len(es.ofJob("raw").final()) == 1 })

			f.startWorker()
			all := f.waitEvents(jobs + 1)
			for i := range jobs {
				if ev := all.onlyOf(t, fmt.Sprint("job-", i)); ev.Type != results.Verdict {
					t.Fatalf("job-%d: %s %+v", i, ev.Outcome(), ev.Data.Error)
				}
			}
		})
	}
}

// runWorker runs a worker until the test ends. It returns a function that stops its intake and does
// not wait for the jobs that it holds.
func (f *fixture) runWorker(w *worker.Worker) (stop func()) {
	f.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	f.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			f.t.Errorf("worker: %v", err)
		}
	})

	return cancel
}

// uploadGate blocks the upload of one file until the gate is opened.
type uploadGate struct {
	worker.Submitter

	name        string
	open, began chan struct{}
}

func (g *uploadGate) SubmitFile(ctx context.Context, file wildfire.File, opts ...wildfire.SubmitOption) (wildfire.Submission, error) {
	if file.Name == g.name {
		close(g.began)
		select {
		case <-g.open:
		case <-ctx.Done():
		}
	}

	return g.Submitter.SubmitFile(ctx, file, opts...)
}

// A proxy answers in place of WildFire for some of the files. Their jobs fail with the proxy's
// text; the others are not delayed, and nothing is paused for long.
func TestAProxyThatBlocksSomeFilesFailsOnlyThose(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]wildfiretest.Fault{
		"403 with a page":     {Status: 403, Body: wildfiretest.HTMLBody},
		"403 without a word":  {Status: 403, Body: wildfiretest.EmptyBody},
		"404":                 {Status: 404, Body: wildfiretest.HTMLBody},
		"302":                 {Status: 302, Body: wildfiretest.HTMLBody},
		"407":                 {Status: 407, Body: wildfiretest.HTMLBody},
		"451":                 {Status: 451, Body: wildfiretest.JSONBody},
		"402":                 {Status: 402, Body: wildfiretest.JSONBody},
		"200 with a page":     {Status: 200, Body: wildfiretest.HTMLBody},
		"403 before the body": {Status: 403, Body: wildfiretest.HTMLBody, Early: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Name: "blocked", Fault: fault})
			f.submitRaw("first", "mail", "fine.exe", "MZ first")
			f.startWorker()
			f.waitEvents(1)
			const good, blocked = 20, 3
			for i := range good {
				f.submitRaw(fmt.Sprint("good-", i), "mail", "fine.exe", fmt.Sprint("MZ good ", i))
				if i < blocked {
					f.submitRaw(fmt.Sprint("blocked-", i), "mail", "blocked.exe", fmt.Sprint("MZ blocked ", i))
				}
			}
			more := 0
			all := f.waitEventsUntil(func(es events) bool {
				n := 0
				for _, e := range es.final() {
					if strings.HasPrefix(e.Data.JobID, "good-") || strings.HasPrefix(e.Data.JobID, "blocked-") {
						n++
					}
				}
				if n < good+blocked { // later files are uploaded as usual
					more++
					f.submitRaw(fmt.Sprint("more-", more), "mail", "fine.exe", fmt.Sprint("MZ more ", more))
				}
				return n == good+blocked
			})
			if st := f.waitStatus(func(queue.Status) bool { return true }); len(st.Paused) != 0 {
				t.Errorf("paused: %+v", st.Paused)
			}
			for i := range good {
				if ev := all.onlyOf(t, fmt.Sprint("good-", i)); ev.Type != results.Verdict {
					t.Errorf("good-%d: %s %+v", i, ev.Outcome(), ev.Data.Error)
				}
			}
			for i := range blocked {
				if ev := all.onlyOf(t, fmt.Sprint("blocked-", i)); ev.Type != results.Failed || ev.Data.Error.Reason != results.Rejected {
					t.Errorf("blocked-%d: %s %+v", i, ev.Outcome(), ev.Data.Error)
				}
			}
		})
	}
}

// A proxy gives the same answers to every upload. Uploads are paused, no job fails, and nothing is
// counted as sent, even beyond the deadline for verdicts.
func TestAProxyThatRefusesAllFailsNoFile(t *testing.T) {
	t.Parallel()
	portal := wildfiretest.Fault{Status: 200, Body: wildfiretest.HTMLBody}
	for name, rule := range map[string]wildfiretest.Rule{
		"403":              {Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 403, Body: wildfiretest.HTMLBody}},
		"302":              {Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 302, Body: wildfiretest.HTMLBody}},
		"407":              {Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 407, Body: wildfiretest.HTMLBody}},
		"451":              {Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 451, Body: wildfiretest.JSONBody}},
		"511":              {Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 511, Body: wildfiretest.HTMLBody}},
		"200, HTML":        {Op: wildfire.OpSubmitFile, Fault: portal},
		"200, JSON":        {Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 200, Body: wildfiretest.JSONBody}},
		"200, nothing":     {Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Status: 200, Body: wildfiretest.EmptyBody}},
		"200 to questions": {Op: wildfire.OpVerdicts, Fault: portal},
		"200 to all":       {Fault: portal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &clock{}
			f := newFixture(t, wildfiretest.WithNow(c.now))
			f.cfg.UploadsPerDay = 100
			f.cfg.Deadline = 30 * time.Minute
			heal := f.wildfire.Inject(rule)
			const jobs = 25
			for i := range jobs {
				f.submitRaw(fmt.Sprint("job-", i), "mail", "x.exe", fmt.Sprint("MZ ", i))
			}
			f.startWorker(worker.WithClock(c.now), worker.WithTick(10*time.Millisecond))
			pauses := f.followPauses(c.now)
			paused := func() bool {
				return isPausedUnprobed(pauses, pipeline.Uploads) || isPausedUnprobed(pauses, pipeline.Queries)
			}
			f.waitStatus(func(queue.Status) bool { return paused() || f.wildfire.Count(wildfire.OpSubmitFile) > 40 })
			if n := f.wildfire.Count(wildfire.OpSubmitFile); n > 3*8 {
				t.Errorf("%d tries before the pause", n)
			}

			for range 4 { // twice the deadline
				tried := len(f.wildfire.Calls())
				c.advance(15 * time.Minute)
				f.waitFor("it is tried again", func() bool { return len(f.wildfire.Calls()) > tried })
				f.waitStatus(func(queue.Status) bool { return paused() })
			}
			if early := f.waitEventsUntil(func(events) bool { return true }); len(early) > 0 {
				t.Errorf("before the first success the log is\n%s", early)
			}

			heal()
			for range 3 {
				c.advance(15 * time.Minute)
				f.waitStatus(func(queue.Status) bool { return true })
			}
			all := f.waitEvents(jobs)
			for i := range jobs {
				if ev := all.onlyOf(t, fmt.Sprint("job-", i)); ev.Type != results.Verdict {
					t.Errorf("job-%d: %s %+v", i, ev.Outcome(), ev.Data.Error)
				}
				if n := f.wildfire.UploadCount(sha256Hex(fmt.Sprint("MZ ", i))); n != 1 {
					t.Errorf("job-%d was uploaded %d times", i, n)
				}
			}
			if n := len(all.ofType(results.Submitted)); n != jobs {
				t.Errorf("%d submitted events", n)
			}
		})
	}
}

// followPauses follows the fleet's pauses, with the given clock, until the test ends.
func (f *fixture) followPauses(now func() time.Time) *fleet.Pauses {
	f.t.Helper()
	p := fleet.NewPauses(f.q.Control(), now, time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	f.t.Cleanup(func() { cancel(); <-done })

	return p
}

// isPausedUnprobed reports whether a budget is paused and not being probed.
func isPausedUnprobed(p *fleet.Pauses, b pipeline.Budget) bool {
	is, on, _ := p.Active(b)

	return on && !is.Probing
}

// The day's uploads are used up while several are about to begin. None begins after the answer,
// even if the rest of the fleet has not been informed yet or cannot be.
func TestNoUploadAfterTheBudgetIsSpent(t *testing.T) {
	t.Parallel()
	for name, during := range map[string]func(f *fixture){
		"":                             func(*fixture) {},
		"and the fleet cannot be told": func(f *fixture) { f.editControlBucket(func(c *jetstream.StreamConfig) { c.MaxBytes = 1 }) },
		"and the fleet's notes are lost": func(f *fixture) {
			if err := f.q.JetStream().DeleteKeyValue(f.t.Context(), f.q.ControlBucket()); err != nil {
				f.t.Fatal(err)
			}
		},
	} {
		t.Run("spent "+name, func(t *testing.T) {
			t.Parallel()
			const quota, slots = 10, 4
			f := newFixture(t, wildfiretest.WithQuota(quota, 0), wildfiretest.WithDelay(time.Hour))
			f.cfg.Concurrency = slots
			f.cfg.AskFirst = false
			for i := range 200 {
				f.submitRaw(fmt.Sprint("job-", i), "mail", "x.exe", fmt.Sprint("MZ ", i))
			}
			f.startWorker()
			f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) >= quota/2 })
			during(f)
			f.waitAllAcknowledged() // nothing is left for a worker that continues
			if n := f.wildfire.CountStatus(wildfire.OpSubmitFile, 419); n == 0 || n > slots {
				t.Errorf("%d uploads were refused with 419, want 1 to %d: one for each slot", n, slots)
			}
		})
	}
}

// The control bucket is lost just as a pause is written. The pause applies in this process, the
// caller is not delayed, and the pause is written for the fleet once the bucket is back.
func TestAPauseIsWrittenLater(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	p := f.followPauses(time.Now)
	if err := f.q.JetStream().DeleteKeyValue(t.Context(), f.q.ControlBucket()); err != nil {
		t.Fatal(err)
	}

	if err := p.PauseAfterFault(t.Context(), pipeline.Queries, "the service is failing"); err == nil {
		t.Fatal("PauseAfterFault succeeded without a bucket")
	}
	if !isPausedUnprobed(p, pipeline.Queries) {
		t.Error("this process is not paused")
	}

	err := jets.Retry(t.Context(), func(ctx context.Context) error {
		_, err := f.q.Streams().Repair(ctx)

		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	f.waitPauseReason(f.followPauses(time.Now), pipeline.Queries, "the service is failing")
}

// The ledger is lost, and a process that does not lead is the first to create it again. The leader
// does not go on where it was in the old one, because the new one begins at 1.
func TestALedgerCreatedAgainIsReadFromItsStart(t *testing.T) {
	t.Parallel()
	nc := connect(t, natsServer(t))
	f := newFixtureOn(t, openQueue(t, nc), wildfiretest.WithDelay(time.Hour))
	f.startWorker()
	const before = 20
	for i := range before {
		f.submitRaw(fmt.Sprint("before-", i), "mail", "x.exe", fmt.Sprint("MZ ", i))
	}
	f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) == before })
	f.waitAllAcknowledged()

	if err := f.q.JetStream().DeleteStream(t.Context(), f.q.LedgerStream()); err != nil {
		t.Fatal(err)
	}
	openQueue(t, nc)

	const body = "MZ after"
	f.submitRaw("after", "mail", "x.exe", body)
	f.waitEventsUntil(func(es events) bool { return len(es.ofJob("after")) == 1 })
	f.wildfire.SetVerdict("", fmt.Sprintf("%x", sha256.Sum256([]byte(body))), wildfire.Malware)
	all := f.waitEventsUntil(func(es events) bool { return len(es.ofJob("after").final()) == 1 })
	if ev := all.onlyOf(t, "after"); ev.Data.Verdict != "malware" {
		t.Errorf("the job ended %s", ev.Outcome())
	}
}

// A stream is lost between the start of a process and that of its leader. The leader creates it
// again before it needs it.
func TestStreamsLostDuringTheStart(t *testing.T) {
	t.Parallel()
	for name, stream := range map[string]func(*queue.Queue) string{
		"jobs": (*queue.Queue).JobsStream, "ledger": (*queue.Queue).LedgerStream,
		"results": (*queue.Queue).ResultsStream, "dead": (*queue.Queue).DeadStream,
		"control": func(q *queue.Queue) string { return "KV_" + q.ControlBucket() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixtureOn(t, openQueue(t, connect(t, natsServer(t))))
			if err := f.q.JetStream().DeleteStream(t.Context(), stream(f.q)); err != nil {
				t.Fatal(err)
			}
			f.startWorker()
			f.waitRepaired(stream(f.q))
			f.submitRaw("job", "mail", "malware.exe", "MZ")
			all := f.waitEventsUntil(func(es events) bool { return len(es.ofJob("job").final()) == 1 })
			if ev := all.onlyOf(t, "job"); ev.Data.Verdict != "malware" {
				t.Errorf("the job ended %s", ev.Outcome())
			}
		})
	}
}

// waitRepaired waits until a stream exists again.
func (f *fixture) waitRepaired(stream string) {
	f.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		_, err := f.q.JetStream().Stream(f.t.Context(), stream)
		if err == nil {
			return
		}
		if time.Now().After(end) {
			f.t.Fatalf("%s: %v", stream, err)
		}
	}
}

// waitAllAcknowledged waits until the workers have acknowledged every job: each has ended or waits
// in the ledger.
func (f *fixture) waitAllAcknowledged() {
	f.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		jobs, err := f.q.JetStream().Stream(f.t.Context(), f.q.JobsStream())
		if err != nil {
			f.t.Fatal(err)
		}
		n := jobs.CachedInfo().State.Msgs
		if n == 0 {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("%d jobs are still queued", n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// editControlBucket edits the limits of the control bucket.
func (f *fixture) editControlBucket(edit func(*jetstream.StreamConfig)) {
	f.t.Helper()
	js := f.q.JetStream()
	s, err := js.Stream(f.t.Context(), "KV_"+f.q.ControlBucket())
	if err != nil {
		f.t.Fatal(err)
	}
	c := s.CachedInfo().Config
	edit(&c)
	if _, err := js.UpdateStream(f.t.Context(), c); err != nil {
		f.t.Fatal(err)
	}
}

// An urgent job is not delayed if a less urgent job with the same contents is already being
// processed and waits.
func TestAnUrgentJobSpeedsUpItsDuplicate(t *testing.T) {
	t.Parallel()
	same := "MZ the same"
	urgent := func(f *fixture) {
		f.publish("backburn.jobs.urgent.desk", withID("urgent", "x.exe"), same)
	}
	ended := func(es events) bool { return len(es.ofJob("urgent").final()) == 1 }
	began := func(f *fixture, n int) {
		f.t.Helper()
		f.waitEventsUntil(func(es events) bool { return len(es.ofType(results.Submitted)) >= n })
	}

	t.Run("behind the rate", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		f.cfg.Rate, f.cfg.Burst = 2, 1
		for i := range 100 {
			f.publish("backburn.jobs.bulk.mail", withID(fmt.Sprint("bulk-", i), "x.exe"), fmt.Sprint("MZ bulk ", i))
			if i == 50 {
				f.publish("backburn.jobs.bulk.mail", withID("slow", "x.exe"), same)
			}
		}
		f.startWorker()
		began(f, 1)
		urgent(f)
		all := f.waitEventsUntil(ended)
		if n := len(all.ofType(results.Submitted)); n > 15 {
			t.Errorf("%d others were uploaded before", n)
		}
	})
	t.Run("during its back-off", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		f.cfg.RetryMin, f.cfg.RetryMax = time.Hour, time.Hour
		f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Times: 1, Fault: wildfiretest.Fault{Status: 503}})
		f.startWorker()
		f.publish("backburn.jobs.bulk.mail", withID("slow", "x.exe"), same)
		f.waitSampleState(sha256Hex(same), "retrying")
		urgent(f)
		f.waitEventsUntil(ended)
	})
	t.Run("while it is parked", func(t *testing.T) {
		t.Parallel()
		c := clockAtNoon()
		f := newFixture(t, wildfiretest.WithNow(c.now))
		f.cfg.UploadsPerDay, f.cfg.ReservePercent = 10, 50
		f.cfg.ShutdownTimeout = time.Hour
		uploads := &uploadGate{Submitter: f.client, name: "held.exe", open: make(chan struct{}), began: make(chan struct{})}
		first, err := worker.New(f.q, f.cfg, uploads, f.client, worker.WithClock(c.now))
		if err != nil {
			t.Fatal(err)
		}
		stop := f.runWorker(first)
		t.Cleanup(func() { close(uploads.open) })
		f.publish("backburn.jobs.bulk.mail", withID("held", "held.exe"), "MZ held")
		<-uploads.began
		for i := range 4 {
			f.publish("backburn.jobs.bulk.mail", withID(fmt.Sprint("bulk-", i), "x.exe"), fmt.Sprint("MZ bulk ", i))
		}
		began(f, 4)
		f.publish("backburn.jobs.bulk.mail", withID("slow", "x.exe"), same)
		f.waitStatus(func(st queue.Status) bool { return st.Parked.Jobs == 1 })

		// The worker that parked it is alive but fetches no more jobs, so another worker gets the
		// urgent job.
		stop()
		f.startWorker(worker.WithClock(c.now))
		urgent(f)
		all := f.waitEventsUntil(func(es events) bool { return ended(es) && len(es.ofJob("slow").final()) == 1 })
		all.onlyOf(t, "slow") // both jobs have the same contents and end together
	})
	t.Run("while it waits for a slot", func(t *testing.T) {
		t.Parallel()
		f := newFixture(t)
		f.cfg.Concurrency = 1
		for i := range 100 {
			f.publish("backburn.jobs.bulk.mail", withID(fmt.Sprint("bulk-", i), "x.exe"), fmt.Sprint("MZ bulk ", i))
		}
		f.publish("backburn.jobs.bulk.mail", withID("slow", "x.exe"), same)
		f.wildfire.Inject(wildfiretest.Rule{Op: wildfire.OpSubmitFile, Fault: wildfiretest.Fault{Latency: 150 * time.Millisecond}})
		f.startWorker()
		began(f, 1)
		urgent(f)
		all := f.waitEventsUntil(ended)
		if n := len(all.ofType(results.Submitted)); n > 30 {
			t.Errorf("%d others were uploaded before", n)
		}
	})
}

// waitSampleState waits until a sample has the given state.
func (f *fixture) waitSampleState(key, state string) {
	f.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		s, _, err := f.q.Ledger().Known(f.t.Context(), key)
		if err != nil {
			f.t.Fatal(err)
		}
		if s.State == state {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatalf("the sample is %s and never became %s", s.State, state)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// The server now has a smaller message limit. Contents that fitted before are not reported as
// changed.
func TestAServerWithASmallerMessageLimit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := natsServerInDir(t, dir, -1)
	f := newFixtureOn(t, openQueue(t, connect(t, s)), wildfiretest.WithDelay(0))
	f.cfg.Roots["mail"] = t.TempDir()
	want := map[string]string{}
	for way, submit := range submitMethods {
		for _, size := range []int{10, 30 << 10, 100 << 10, 600 << 10} {
			id := fmt.Sprintf("%s-%d", strings.ReplaceAll(way, " ", "-"), size)
			want[id] = string(bytes.Repeat([]byte(id+"\n"), size/len(id)+1))
			submit(f, id, "x.exe", want[id])
		}
	}
	s.Shutdown()
	s.WaitForShutdown()

	s = natsServerWithLimit(t, dir, -1, 64<<10)
	f.q = openQueue(t, connect(t, s))
	f.startWorker()
	all := f.waitEvents(len(want))
	for id, body := range want {
		ev := all.onlyOf(t, id)
		if ev.Type != results.Verdict || ev.Data.SHA256 != sha256Hex(body) {
			t.Errorf("%s: %s %+v", id, ev.Outcome(), ev.Data.Error)
		}
	}
}

// Jobs wait for a token. They continue as soon as there is one, whatever their back-off is.
func TestJobsContinueOnceThereIsAToken(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.cfg.RetryMin, f.cfg.RetryMax = 20*time.Millisecond, time.Hour
	tokens := &delayedTokens{ready: make(chan struct{}), waits: make(chan struct{})}
	cfg := wildfire.DefaultConfig()
	cfg.BaseURL = f.web.URL
	client, err := wildfire.New(cfg, tokens)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f.client = client
	for i := range 20 {
		f.submitRaw(fmt.Sprint("job-", i), "mail", "x.exe", fmt.Sprint("MZ ", i))
	}
	f.startWorker(worker.WithTokens(tokens))
	select {
	case <-tokens.waits:
	case <-time.After(2 * time.Minute):
		t.Error("nobody waits for a token")
	}
	close(tokens.ready)
	all := f.waitEvents(20)
	for i := range 20 {
		all.onlyOf(t, fmt.Sprint("job-", i))
	}
}

// delayedTokens is a source without a token until it is ready.
type delayedTokens struct {
	ready chan struct{}
	waits chan struct{} // closed when the first caller waits
	first sync.Once
}

func (s *delayedTokens) TokenFor(context.Context, time.Duration) (string, error) {
	select {
	case <-s.ready:
		return "token", nil
	default:
		return "", errors.New("none yet")
	}
}

func (s *delayedTokens) Accepted(string) {}
func (s *delayedTokens) Rejected(string) {}

func (s *delayedTokens) WaitReady(ctx context.Context) error {
	s.first.Do(func() { close(s.waits) })
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
