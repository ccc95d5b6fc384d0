package results

import "time"

// AuditSource is the source of audit events, because the action of a person concerns the whole
// fleet. Their subjects are <prefix>.results.audit.<action>._fleet.
const AuditSource = "_fleet"

// AuditAction is the action of a person: one of the constants below.
type AuditAction string

// The actions of audit events.
const (
	AuditRetry   AuditAction = "retry"   // the job of a dead letter was submitted again
	AuditDrop    AuditAction = "drop"    // a dead letter was removed permanently
	AuditRecheck AuditAction = "recheck" // WildFire was asked again about contents or a link
	AuditPause   AuditAction = "pause"   // uploads were paused
	AuditResume  AuditAction = "resume"  // a pause of uploads was ended
)

// AuditActions lists every action, for schemas.
func AuditActions() []AuditAction {
	return []AuditAction{AuditRetry, AuditDrop, AuditRecheck, AuditPause, AuditResume}
}

// AuditStatus is the state of an action.
type AuditStatus string

// Each action has one event with AuditRequested, which is durable before the action starts, and
// another event when it ends. If there is only the first event, the process was killed or lost NATS
// in between, and the action may or may not have been carried out.
const (
	AuditRequested AuditStatus = "requested"
	AuditDone      AuditStatus = "done"
	AuditFailed    AuditStatus = "failed" // Result says why
)

// The interfaces through which a person acts.
const (
	AuditDashboard = "dashboard"
	AuditCommand   = "command"
)

// Audit describes the action of a person. Only audit events have it; they are not about a job and
// have no job_id.
type Audit struct {
	ID     string      `json:"id"` // of the action; its events share it
	Action AuditAction `json:"action"`
	Status AuditStatus `json:"status"`

	By   string `json:"by"`             // the user of the dashboard, or the account that ran the command
	Via  string `json:"via"`            // AuditDashboard or AuditCommand
	From string `json:"from,omitempty"` // the IP address of the browser, or the host of the command

	Letter uint64    `json:"letter,omitempty"` // with retry and drop: the number of the dead letter
	Job    string    `json:"job,omitempty"`    // with retry and drop: <source>/<job ID> of that dead letter
	SHA256 string    `json:"sha256,omitempty"` // with retry, drop and recheck: of the contents, if known
	URL    string    `json:"url,omitempty"`    // with retry, drop and recheck: the link, if known
	Until  time.Time `json:"until,omitzero"`   // with pause: when the pause ends
	Reason string    `json:"reason,omitempty"` // with pause: why, for people
	Result string    `json:"result,omitempty"` // for people: the outcome, or why it failed
}
