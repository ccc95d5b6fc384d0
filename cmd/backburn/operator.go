package main

import (
	"os"
	"os/user"

	"backburn/internal/app"
	"backburn/pipeline/queue"
	"backburn/results"
)

// operatorOf returns the user who runs the command. Audit events name this user.
func operatorOf(q *queue.Queue) app.Operator {
	host, _ := os.Hostname()

	return app.Operator{
		Queue: q,
		Who:   results.Audit{By: account(), Via: results.AuditCommand, From: host},
	}
}

// account returns the account that runs the command on this machine.
func account() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}

	return "an operator"
}
