package wildfiretest

import (
	"strings"

	"backburn/wildfire"
)

// Known describes a sample with a verdict before any submission.
type Known struct {
	// Region is where it is known; "" is the default region.
	Region string

	SHA256, MD5 string
	URL         string // for a URL instead of a file
	Verdict     wildfire.Verdict
	Filetype    string
	Size        int64
}

// Know adds a sample or a URL with its verdict.
func (s *Server) Know(sample Known) {
	sha, md := strings.ToLower(sample.SHA256), strings.ToLower(sample.MD5)
	if sample.URL != "" {
		sha, md = urlDigests(sample.URL)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(sample.Region, &storedSample{
		sha256: sha, md5: md, url: sample.URL, filetype: sample.Filetype, size: sample.Size,
		received: s.now(), preset: true, plan: Plan{Verdict: sample.Verdict},
	})
}

// SetVerdict changes the verdict of a sample, as a later analysis or a manual review does. It
// reports whether the region has the sample.
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

// store adds a sample and drops the oldest beyond the capacity. The mutex is held.
func (s *Server) store(region string, sample *storedSample) {
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

// forgetMD5 removes a sample from the index by MD5. The mutex is held.
func (s *Server) forgetMD5(region string, sample *storedSample) {
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
func (s *Server) find(region, hash string) []*storedSample {
	hash = strings.ToLower(hash)
	if len(hash) == 32 {
		if samples := s.byMD5[sampleKey{region, hash}]; len(samples) > 0 {
			return samples
		}
	} else if sample := s.samples[sampleKey{region, hash}]; sample != nil {
		return []*storedSample{sample}
	}

	return findBuiltin(hash)
}

// findURL returns what is known about a URL. The mutex is held.
func (s *Server) findURL(region, link string) []*storedSample {
	sha, _ := urlDigests(link)
	if found := s.find(region, sha); found != nil {
		return found
	}
	if page := builtinURL(link); page != nil {
		return []*storedSample{page}
	}

	return nil
}
