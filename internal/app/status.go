package app

import (
	"context"
	"errors"
	"time"

	"backburn/auth"
	"backburn/internal/health"
	"backburn/internal/sink"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch"
	"backburn/pipeline/worker"
)

// Status is the state of the fleet, and of this process's part in it: the value of
// GET /api/status and of `backburn status --json`.
type Status struct {
	Time time.Time `json:"time"`

	*queue.Status       // of the fleet; nil if unknown
	Away          *Away `json:"away,omitempty"` // why Status is nil

	// The following fields describe the process that answers. They are empty if there is none.

	ID                string          `json:"id,omitempty"`   // member ID
	Role              string          `json:"role,omitempty"` // see fleet.Roles
	Parts             []health.Status `json:"parts"`
	UploadsInProgress []worker.Upload `json:"uploading"`
	Token             *auth.Status    `json:"token,omitempty"` // the token for WildFire
	Watch             []watch.Status  `json:"watch"`           // the watched folders
	Sinks             []sink.Status   `json:"sinks"`
}

// Away says why the state of the fleet is unknown.
type Away struct {
	Since  time.Time `json:"since"`
	Reason string    `json:"reason"`
}

// NewStatus returns an empty Status.
func NewStatus() Status {
	return Status{
		Time:              time.Now().UTC(),
		Parts:             []health.Status{},
		UploadsInProgress: []worker.Upload{},
		Watch:             []watch.Status{},
		Sinks:             []sink.Status{},
	}
}

const (
	// statusAge is how old the fleet's part of a Status may be.
	statusAge = time.Second

	// statusTimeout limits reading the state from NATS.
	statusTimeout = 4 * time.Second
)

// Status returns the state of this process and, if NATS is reachable, of the fleet.
func (n *Node) Status(ctx context.Context) Status {
	st := NewStatus()
	st.ID = n.member.ID()
	st.Role = n.roles.fleetRole()
	st.Status, st.Away = n.fleetStatus(ctx)
	st.Parts = n.health.Parts()
	if n.worker != nil {
		st.UploadsInProgress = n.worker.Uploads()
	}

	if n.tokens != nil {
		t := n.tokens.Status()
		st.Token = &t
	}

	for _, w := range n.watchers {
		st.Watch = append(st.Watch, w.Status())
	}

	for _, s := range n.sinks.list() {
		st.Sinks = append(st.Sinks, s.Status())
	}

	return st
}

// duties returns the folders, sinks and tokens that this process reports to the fleet.
func (n *Node) duties() fleet.Duties {
	var d fleet.Duties
	for _, w := range n.watchers {
		s := w.Status()
		d.Folders = append(d.Folders, fleet.Folder{
			Path:     s.Path,
			Source:   s.Source,
			State:    s.State,
			Pending:  s.Pending,
			InFlight: s.InFlight,
		})
	}

	for _, sink := range n.sinks.list() {
		s := sink.Status()
		d.Sinks = append(d.Sinks, fleet.Sink{
			Name:   s.Name,
			Kind:   s.Kind,
			State:  s.State,
			Behind: s.Behind,
			Last:   s.Last,
		})
	}

	if n.tokens != nil {
		t := n.tokens.Status()
		d.Tokens = []fleet.Token{{Profile: t.Name, State: t.State, Shared: t.Shared, Expires: t.Expires}}
	}

	return d
}

// fleetStatus returns the state of the fleet, or why it is unknown.
func (n *Node) fleetStatus(ctx context.Context) (*queue.Status, *Away) {
	for _, p := range n.health.Of("nats", "") {
		if p.State != health.OK {
			return nil, &Away{Since: p.Since, Reason: p.Text()}
		}
	}

	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	st, err := n.status.status(ctx, statusAge)
	if err != nil {
		reason := "cannot read the state of the fleet from NATS: " + err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			reason = "NATS does not answer; check that the server runs with JetStream"
		}

		return nil, &Away{Since: n.status.failingSince(), Reason: reason}
	}

	return &st, nil
}

// tokenFault returns a fault if there is no token because the last request for one failed.
func tokenFault(s auth.Status) error {
	if s.Ready || s.LastError == "" {
		return nil
	}

	return health.Fault{
		Cause:  health.CauseRefused,
		Reason: s.LastError,
		Remedy: "see `backburn token " + s.Name + " --status`",
	}
}
