package poller

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"backburn/pipeline"
)

// If a job has several records, the newest counts. A sample is removed with its last job, unless it
// is busy.
func TestWaitlist(t *testing.T) {
	t.Parallel()
	l := newWaitlist()
	job := func(name string, seq uint64) waitingJob {
		return waitingJob{name: name, seq: seq, rank: 1}
	}
	sample := idOf(t, digest(1))
	first := time.Unix(1, 0)
	e := l.add(sample, job("a", 1), first)
	l.add(sample, job("a", 5), time.Unix(2, 0))
	l.add(sample, job("a", 3), time.Unix(3, 0)) // read late
	check := func(what string, jobs, samples int) {
		t.Helper()
		n := 0
		for range l.jobsOf(e) {
			n++
		}
		if l.jobs != jobs || n != jobs || l.awaited(e) != (jobs > 0) || len(l.entries) != samples {
			t.Errorf("%s: %d jobs in the list, %d visited, awaited: %t, %d samples; want %d jobs of %d samples",
				what, l.jobs, n, l.awaited(e), len(l.entries), jobs, samples)
		}
	}
	check("three messages of one job", 1, 1)
	if j, ok := l.jobOf(e, "a"); !ok || j.seq != 5 || !e.submitted.time().Equal(first) {
		t.Errorf("the job is %+v, waiting since %s", j, e.submitted.time())
	}
	l.add(sample, job("b", 7), first)
	l.add(sample, job("c", 8), first)
	check("two more", 3, 1)
	l.remove(e, job("a", 1)) // an old message of it
	check("an old message of it was removed", 3, 1)
	l.remove(e, job("a", 5))
	check("the first removed", 2, 1)
	l.add(sample, job("c", 9), first)
	check("a newer message of one of several", 2, 1)
	l.remove(e, job("c", 8))
	check("an old message of one of several was removed", 2, 1)
	l.remove(e, job("c", 9))
	check("two removed", 1, 1)
	e.busy = true
	l.remove(e, job("b", 7))
	check("the last job was removed while its sample was busy", 0, 1)
	e.busy = false
	l.add(sample, job("d", 10), first)
	l.remove(e, job("d", 10))
	check("the last job was removed", 0, 0)
}

// A sample that is removed and added again while it is due is asked about only once. If both
// entries were asked about, one of them would wait forever.
func TestForgottenSamplesAreNotAskedAbout(t *testing.T) {
	t.Parallel()
	b := newQuerier()
	sample := idOf(t, digest(1))
	job := waitingJob{name: "mail.a", seq: 1}
	gone := b.list.add(sample, job, time.Now())
	b.list.toAsk[gone] = struct{}{}
	b.list.remove(gone, job)

	next := b.list.add(sample, waitingJob{name: "mail.b", seq: 2}, time.Now())
	b.list.toAsk[next] = struct{}{}
	for range 2 { // every other call may be for a link
		c := b.nextCall()
		if c.link == nil && (len(c.hashes) != 1 || len(c.awaited) != 1 || c.awaited[digest(1)] != next) {
			t.Fatalf("asked about %d hashes for %d samples", len(c.hashes), len(c.awaited))
		}
		if next.busy {
			return
		}
	}
	t.Error("the sample that jobs wait for was not asked about")
}

// Samples whose SHA-256 begins with the same bytes are distinguished.
func TestWaitlistTellsSamplesApart(t *testing.T) {
	t.Parallel()
	l := newWaitlist()
	same := strings.Repeat("ab", 8)
	var keys []string
	for i := range 3 {
		digits := same + digest(i)[len(same):]
		keys = append(keys, digits, pipeline.LinkKeyOf(digits))
	}
	for i, key := range keys {
		l.add(idOf(t, key), waitingJob{name: fmt.Sprint("mail.", i), seq: 1}, time.Unix(1, 0))
	}

	for round := range keys {
		found := 0
		for e := range l.all() {
			if l.find(e.sample.key()) == e {
				found++
			}
		}
		if want := len(keys) - round; found != want || len(l.entries)+len(l.clashes) != want {
			t.Errorf("%d of %d samples are found; want %d", found, len(l.entries)+len(l.clashes), want)
		}

		gone := l.find(keys[(round*5+2)%len(keys)]) // the first, the last, and one in between
		l.drop(gone)
		l.drop(gone)
	}
	if len(l.entries) != 0 || len(l.clashes) != 0 || l.find("no key") != nil {
		t.Errorf("%d entries and %d clashes are left", len(l.entries), len(l.clashes))
	}
}

// idOf parses a key.
func idOf(t testing.TB, key string) sampleID {
	t.Helper()
	id, ok := parseSampleID(key)
	if !ok || id.key() != key {
		t.Fatalf("%q became %+v", key, id)
	}

	return id
}

// digest returns the SHA-256 of a number.
func digest(i int) string {
	sum := sha256.Sum256(fmt.Append(nil, i))

	return hex.EncodeToString(sum[:])
}

// BenchmarkWaitlist measures the memory of each waiting sample.
func BenchmarkWaitlist(b *testing.B) {
	const samples = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := newWaitlist()
		for i := range samples {
			name := fmt.Sprintf("quarantine.%s%06d", strings.Repeat("j", 20), i)
			l.schedule(l.add(idOf(b, digest(i)), waitingJob{name: name, seq: uint64(i), rank: 1}, time.Now()), time.Now())
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/samples, "B/sample")
		runtime.KeepAlive(l)
	}
}
