package results_test

import (
	"testing"

	"backburn/internal/testkit/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m) }
