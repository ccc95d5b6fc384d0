package wildfiretest

import (
	"crypto/md5" // #nosec G501 -- part of the service's answers
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	"backburn/wildfire"
)

type sampleKey struct{ region, hash string }

// known is a sample or a URL that the service has. The server's mutex guards it.
type known struct {
	sha256, md5, filename, filetype, url string
	size                                 int64
	received                             time.Time
	preset                               bool // judged before anybody submitted it
	plan                                 Plan
	delay                                time.Duration
	head                                 []byte // the whole contents where they are small, nil otherwise
	uploads                              int
	attempts                             int // submissions, refused ones included
	by                                   []Upload
}

// Know teaches the server a sample, or a URL, that has its verdict already.
func (s *Server) Know(sample Known) {
	sha, md := strings.ToLower(sample.SHA256), strings.ToLower(sample.MD5)
	if sample.URL != "" {
		sha, md = urlDigests(sample.URL)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(sample.Region, &known{
		sha256: sha, md5: md, url: sample.URL, filetype: sample.Filetype, size: sample.Size,
		received: s.now(), preset: true, plan: Plan{Verdict: sample.Verdict},
	})
}

// SetVerdict changes the verdict of a sample from now on, as a later analysis or a manual review
// does. It reports whether the sample is known in the region.
func (s *Server) SetVerdict(region, sha256 string, verdict wildfire.Verdict) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	sample := s.samples[sampleKey{region, strings.ToLower(sha256)}]
	if sample == nil {
		return false
	}
	sample.plan, sample.preset = Plan{Verdict: verdict}, true
	sample.received = s.now()
	return true
}

// store adds a sample and forgets the oldest beyond the capacity. The mutex is held.
func (s *Server) store(region string, sample *known) {
	key := sampleKey{region, sample.sha256}
	if old, ok := s.samples[key]; ok {
		s.forgetMD5(region, old)
	} else {
		s.order = append(s.order, key)
	}
	s.samples[key] = sample
	if sample.md5 != "" {
		index := sampleKey{region, sample.md5}
		s.byMD5[index] = append(s.byMD5[index], sample)
	}
	for len(s.samples) > s.maxSamples {
		oldest := s.order[s.head]
		s.head++
		if gone := s.samples[oldest]; gone != nil {
			s.forgetMD5(oldest.region, gone)
			delete(s.samples, oldest)
		}
		if s.head > len(s.order)/2 {
			s.order = append([]sampleKey(nil), s.order[s.head:]...)
			s.head = 0
		}
	}
}

func (s *Server) forgetMD5(region string, sample *known) {
	index := sampleKey{region, sample.md5}
	kept := s.byMD5[index][:0]
	for _, other := range s.byMD5[index] {
		if other != sample {
			kept = append(kept, other)
		}
	}
	if len(kept) == 0 {
		delete(s.byMD5, index)
		return
	}
	s.byMD5[index] = kept
}

// find returns the samples with a hash: one for a SHA-256, any number for an MD5. The mutex is
// held.
func (s *Server) find(region, hash string) []*known {
	hash = strings.ToLower(hash)
	if len(hash) == 32 {
		if samples := s.byMD5[sampleKey{region, hash}]; len(samples) > 0 {
			return samples
		}
	} else if sample := s.samples[sampleKey{region, hash}]; sample != nil {
		return []*known{sample}
	}

	return builtins(hash)
}

// at is the verdict that a sample has at a time.
func (k *known) at(now time.Time, unknownFor time.Duration) wildfire.Verdict {
	age := now.Sub(k.received)
	switch {
	case k.plan.Lost:
		return wildfire.Unknown
	case k.preset:
		return k.plan.Verdict
	case !k.plan.Never && age >= k.delay:
		if k.plan.Flips && age >= k.delay+k.plan.FlipAfter {
			return k.plan.FlipTo
		}
		return k.plan.Verdict
	case age < min(unknownFor, k.delay):
		return wildfire.Unknown
	case k.plan.Never && age < unknownFor:
		return wildfire.Unknown
	}
	return wildfire.Pending
}

// changedAt is when a sample got the verdict that it has, false where it has none yet.
func (k *known) changedAt(now time.Time) (time.Time, bool) {
	switch {
	case k.preset:
		return k.received, true
	case k.plan.Never, k.plan.Lost, now.Before(k.received.Add(k.delay)):
		return time.Time{}, false
	}
	decided := k.received.Add(k.delay)
	if flip := decided.Add(k.plan.FlipAfter); k.plan.Flips && !now.Before(flip) {
		return flip, true
	}
	return decided, true
}

// urlDigests are the hashes by which a link is known: those of its URL, with http:// where it has
// no scheme.
func urlDigests(link string) (sha, md string) {
	sum := sha256.Sum256([]byte(link))
	sumMD5 := md5.Sum([]byte(link)) // #nosec G401
	return hex.EncodeToString(sum[:]), hex.EncodeToString(sumMD5[:])
}
