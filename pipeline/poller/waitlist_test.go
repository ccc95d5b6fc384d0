package poller

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// Of a job that came to wait twice the newest message counts, and a sample is forgotten with its
// last job, unless somebody is at it.
func TestWaitlist(t *testing.T) {
	t.Parallel()
	l := newWaitlist()
	job := func(subject string, seq uint64) waitingJob {
		return waitingJob{subject: subject, seq: seq, lane: 1}
	}
	first := time.Unix(1, 0)
	e := l.add("sample", job("a", 1), first)
	l.add("sample", job("a", 5), time.Unix(2, 0))
	l.add("sample", job("a", 3), time.Unix(3, 0)) // read late
	check := func(what string, jobs, samples int) {
		t.Helper()
		n := 0
		for range e.jobs.all() {
			n++
		}
		if l.jobs != jobs || e.jobs.len() != jobs || n != jobs || len(l.entries) != samples {
			t.Errorf("%s: %d jobs in the list, %d of the sample, %d gone over, %d samples; want %d jobs of %d samples",
				what, l.jobs, e.jobs.len(), n, len(l.entries), jobs, samples)
		}
	}
	check("three messages of one job", 1, 1)
	if j, ok := e.jobs.get("a"); !ok || j.seq != 5 || !e.submitted.Equal(first) {
		t.Errorf("the job is %+v, waiting since %s", j, e.submitted)
	}
	l.add("sample", job("b", 7), first)
	l.add("sample", job("c", 8), first)
	check("two more", 3, 1)
	l.remove(e, job("a", 1)) // an old message of it
	check("an old message left", 3, 1)
	l.remove(e, job("a", 5))
	l.remove(e, job("c", 8))
	check("two left", 1, 1)
	e.busy = true
	l.remove(e, job("b", 7))
	check("the last left while the sample was looked at", 0, 1)
	e.busy = false
	l.add("sample", job("d", 9), first)
	l.remove(e, job("d", 9))
	check("the last left", 0, 0)
}

// BenchmarkWaitlist tells the memory of each sample that waits.
func BenchmarkWaitlist(b *testing.B) {
	const samples = 100_000
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		l := newWaitlist()
		for i := range samples {
			subject := fmt.Sprintf("backburn.ledger.job.quarantine.%s%06d", strings.Repeat("j", 20), i)
			key := fmt.Sprintf("%064x", i)
			l.schedule(l.add(key, waitingJob{subject: subject, seq: uint64(i), lane: 1}, time.Now()), time.Now())
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/samples, "B/sample")
		runtime.KeepAlive(l)
	}
}
