package main

import (
	"backburn/internal/cli"
	"backburn/internal/guard"
	"backburn/internal/plan"
	"backburn/pipeline"
)

// planRun is one run of the command.
type planRun struct {
	tool      *cli.App
	source    string
	queries   int
	statePath string
	submitAs  pipeline.Priority
	perDay    int
	asJSON    bool

	service          *service
	state            *plan.State
	inventory        *plan.Inventory
	guard            *guard.Guard
	remainingBudgets map[pipeline.Budget]int // rest of today's budgets for jobs that are not urgent
	queriesMade      int
}
