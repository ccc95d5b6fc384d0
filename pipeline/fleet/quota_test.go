package fleet

import (
	"errors"
	"fmt"
	"testing"

	"backburn/pipeline"
)

// The error of a refused call says what is used up: the budget, all but its reserve, or the share
// of a source.
func TestWhyABudgetIsSpent(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		used     int
		priority pipeline.Priority
		want     string
	}{
		"all": {100, pipeline.Urgent, "today's budget of uploads is used up: 100 of 100"},
		"all but the reserve": {
			90, pipeline.Normal,
			"the rest of today's budget of uploads is reserved for urgent jobs: 90 of 100 are used",
		},
		"a share": {50, pipeline.Normal, "the share of mail in today's budget of uploads is used up: mail used 45 of all 100"},
		"an urgent share": {
			90, pipeline.Urgent,
			"the share of mail in today's budget of uploads is used up: mail used 45 of all 100",
		},
	} {
		s := pipeline.Spending{Limit: 100, Reserve: 10, Used: tc.used, UsedBy: map[string]int{"mail": 45}}
		err := whySpent(pipeline.Uploads, s, "mail", tc.priority)
		if !errors.Is(err, ErrSpent) || err.Error() != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

// Beyond a number of sources, further ones share an account. A call for all sources has none.
func TestAccounts(t *testing.T) {
	t.Parallel()
	var s dayCount
	for i := range maxSpenders {
		s.add(s.account(fmt.Sprint(i)), 1)
	}
	for source, want := range map[string]string{"0": "0", "one more": others, "": ""} {
		if got := s.account(source); got != want {
			t.Errorf("the account of %q is %q, want %q", source, got, want)
		}
	}
}
