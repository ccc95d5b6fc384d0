package fleet

import (
	"maps"
	"sync"
	"time"

	"backburn/pipeline"
)

// RuleBudgets holds the daily upload budgets of those rules of the policy that have one. The key of
// a budget is pipeline.RuleBudget.Key. It is safe for concurrent use.
type RuleBudgets struct {
	store *Store
	now   func() time.Time

	mu    sync.Mutex
	byKey map[string]*Quota
}

// NewRuleBudgets returns the budgets of rules.
func NewRuleBudgets(store *Store, rules []pipeline.RuleBudget, now func() time.Time) *RuleBudgets {
	s := &RuleBudgets{store: store, now: now, byKey: map[string]*Quota{}}
	s.Set(rules)

	return s
}

// Set replaces the rules. The budget of a removed rule stays, without a limit, for jobs to which
// the policy has already applied the rule.
func (s *RuleBudgets) Set(rules []pipeline.RuleBudget) {
	s.mu.Lock()
	defer s.mu.Unlock()

	removed := maps.Clone(s.byKey)
	for _, r := range rules {
		delete(removed, r.Key)
		if q := s.byKey[r.Key]; q != nil {
			q.SetLimit(r.PerDay, 0)
			continue
		}
		s.byKey[r.Key] = NewQuota(s.store, pipeline.Budget(r.Key), r.PerDay, 0, s.now)
	}
	for _, q := range removed {
		q.SetLimit(0, 0)
	}
}

// ByKey returns the budget of a rule, or nil if the rule never existed.
func (s *RuleBudgets) ByKey(key string) *Quota {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.byKey[key]
}

// All lists the budgets.
func (s *RuleBudgets) All() []*Quota {
	s.mu.Lock()
	defer s.mu.Unlock()

	all := make([]*Quota, 0, len(s.byKey))
	for _, q := range s.byKey {
		all = append(all, q)
	}

	return all
}
