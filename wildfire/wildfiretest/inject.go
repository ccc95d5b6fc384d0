package wildfiretest

import (
	"strconv"
	"strings"

	"backburn/wildfire"
)

// Inject adds a rule and returns a function that removes it. If several rules match, the one added
// first applies. The rules for samples are matched later than the others, so a call can get a fault
// of each kind; the second one then applies, with the styles of both.
func (s *Server) Inject(r Rule) (remove func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ruleID++
	added := &rule{Rule: r, id: s.ruleID}
	s.rules = append(s.rules, added)

	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, candidate := range s.rules {
			if candidate == added {
				s.rules = append(s.rules[:i:i], s.rules[i+1:]...)
				return
			}
		}
	}
}

// faultFor returns the fault for a call. It is called twice for a submission: before the body is
// read, for the rules that do not depend on the sample, and then with the sample, for the others.
func (s *Server) faultFor(op wildfire.Op, token, sha256, name string) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.rules {
		bySample := r.SHA256 != "" || r.Name != ""
		switch {
		case bySample != (sha256 != ""),
			r.Op == "" && op == OpToken,
			r.Op != "" && r.Op != op,
			r.Token != "" && r.Token != token,
			r.SHA256 != "" && !strings.EqualFold(r.SHA256, sha256),
			r.Name != "" && !strings.Contains(name, r.Name):
			continue
		}

		r.matched++
		first := max(r.From, 1)
		if r.matched < first || r.Times > 0 && r.matched >= first+r.Times {
			continue
		}
		if r.Rate > 0 && s.chance("rule", strconv.Itoa(r.id), strconv.Itoa(r.matched)) >= r.Rate {
			continue
		}

		return r.Fault
	}

	return Fault{}
}
