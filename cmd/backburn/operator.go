package main

import (
	"os"
	"os/user"

	"backburn/internal/app"
	"backburn/pipeline/queue"
	"backburn/results"
)

// operatorOf is who runs the command, for what he does to the fleet of a queue: audit events name
// him.
func operatorOf(q *queue.Queue) app.Operator {
	host, _ := os.Hostname()

	return app.Operator{
		Queue: q,
		Who:   results.Audit{By: account(), Via: results.AuditCommand, From: host},
	}
}

// account is the user of this machine who runs the command.
func account() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}

	return "an operator"
}
