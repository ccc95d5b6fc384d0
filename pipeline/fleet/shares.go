package fleet

import (
	"sync"
	"time"

	"backburn/pipeline"
)

// Shares holds the daily upload budgets of those rules of the policy that have one. The key of a
// budget is pipeline.Share.Key. It is safe for concurrent use.
type Shares struct {
	store *Store
	now   func() time.Time

	mu    sync.Mutex
	byKey map[string]*Quota
}

// NewShares returns the budgets of rules.
func NewShares(store *Store, rules []pipeline.Share, now func() time.Time) *Shares {
	s := &Shares{store: store, now: now, byKey: map[string]*Quota{}}
	s.Set(rules)

	return s
}

// Set replaces the rules. The budget of a removed rule stays, without a limit, for jobs to which
// the policy has already applied the rule.
func (s *Shares) Set(rules []pipeline.Share) {
	s.mu.Lock()
	defer s.mu.Unlock()

	for _, q := range s.byKey {
		q.SetLimit(0, 0)
	}
	for _, r := range rules {
		if q := s.byKey[r.Key]; q != nil {
			q.SetLimit(r.PerDay, 0)
			continue
		}
		s.byKey[r.Key] = NewQuota(s.store, pipeline.Budget(r.Key), r.PerDay, 0, s.now)
	}
}

// ByKey returns the budget of a rule, or nil if the rule never existed.
func (s *Shares) ByKey(key string) *Quota {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.byKey[key]
}

// All lists the budgets.
func (s *Shares) All() []*Quota {
	s.mu.Lock()
	defer s.mu.Unlock()

	all := make([]*Quota, 0, len(s.byKey))
	for _, q := range s.byKey {
		all = append(all, q)
	}

	return all
}
