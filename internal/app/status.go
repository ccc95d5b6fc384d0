package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"backburn/auth"
	"backburn/internal/admin"
	"backburn/internal/natsconn"
	"backburn/internal/sink"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/pipeline/worker"
)

// Status is the state of the fleet, and of this process's part in it: the value of
// GET /api/status and of `backburn status --json`.
type Status struct {
	queue.Status
	Flights []worker.Upload `json:"uploading"`       // uploads in progress here
	Token   *auth.Status    `json:"token,omitempty"` // of the WildFire credential, as seen here
	Watch   []watch.Status  `json:"watch"`           // folders that are watched here
	Sinks   []sink.Status   `json:"sinks"`           // what hands events on here
}

// statusAge is how old the fleet's part of a Status may be. Pages ask every two seconds.
const statusAge = time.Second

// Status asks for the state of everything.
func (n *Node) Status(ctx context.Context) (Status, error) {
	st := Status{Flights: []worker.Upload{}, Watch: []watch.Status{}, Sinks: []sink.Status{}}
	var err error
	if st.Status, err = n.status.status(ctx, statusAge); err != nil {
		return st, err
	}
	if n.worker != nil {
		st.Flights = n.worker.Uploads()
	}
	if n.tokens != nil {
		t := n.tokens.Status()
		st.Token = &t
	}
	for _, w := range n.watchers {
		st.Watch = append(st.Watch, w.Status())
	}
	for _, s := range n.sinks {
		st.Sinks = append(st.Sinks, s.Status())
	}
	return st, nil
}

// checks are what readiness means for this process.
func (n *Node) checks() []admin.Check {
	checks := append([]admin.Check{{Name: "nats", Ask: natsconn.Ready(n.nc)}}, n.roles.Checks...)
	if n.worker != nil {
		checks = append(checks,
			admin.Check{Name: "worker", Ask: n.worker.Ready},
			admin.Check{Name: "token", Ask: func(context.Context) error { return tokenReady(n.tokens.Status()) }})
	}
	for _, w := range n.watchers {
		checks = append(checks, admin.Check{Name: "watch " + w.Status().Source, Ask: func(context.Context) error { return folderReady(w.Status()) }})
	}
	for _, s := range n.sinks {
		checks = append(checks, admin.Check{Name: "sink " + s.Status().Name, Ask: func(context.Context) error { return sinkReady(s.Status()) }})
	}
	return checks
}

// folderReady warns of files that cannot be dealt with: they leave the folder ready.
func folderReady(s watch.Status) error {
	switch {
	case s.State != watch.StateOK:
		return fmt.Errorf("%s: %s", s.Path, s.Reason)
	case s.Troubled > 0:
		t := s.Troubles[0]
		return admin.Warning(fmt.Sprintf("%s: files in trouble: %d, for longest %q: %s", s.Path, s.Troubled, t.Path, t.Reason))
	}

	return nil
}

// tokenReady is content with a token, and with not having needed one yet.
func tokenReady(s auth.Status) error {
	if s.Ready || s.LastError == "" {
		return nil
	}
	return errors.New(s.LastError)
}
