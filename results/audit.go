package results

import "time"

// AuditSource stands for a source in audit events: what a person does concerns the whole fleet.
// Their subjects are <prefix>.results.audit.<action>._fleet.
const AuditSource = "_fleet"

// AuditAction is what a person did; a closed list.
type AuditAction string

// The actions of audit events.
const (
	AuditRetry   AuditAction = "retry"   // the job of a dead letter was submitted again
	AuditDrop    AuditAction = "drop"    // a dead letter was removed for good
	AuditRecheck AuditAction = "recheck" // WildFire was asked again about contents or a link
	AuditPause   AuditAction = "pause"   // uploads were paused
	AuditResume  AuditAction = "resume"  // a pause of uploads was ended
)

// AuditActions lists every action, for schemas.
func AuditActions() []AuditAction {
	return []AuditAction{AuditRetry, AuditDrop, AuditRecheck, AuditPause, AuditResume}
}

// AuditStatus says how far an action is.
type AuditStatus string

// The states of an action. Each action has one event with AuditRequested, which is durable before
// anything is done, and one of the others once it is over. Where only the first is there, the
// process died in between: it may have been done.
const (
	AuditRequested AuditStatus = "requested"
	AuditDone      AuditStatus = "done"
	AuditFailed    AuditStatus = "failed" // Result says why
)

// AuditStatuses lists every status, for schemas.
func AuditStatuses() []AuditStatus {
	return []AuditStatus{AuditRequested, AuditDone, AuditFailed}
}

// Where a person acts.
const (
	AuditDashboard = "dashboard"
	AuditCommand   = "command"
)

// Audit is what a person did to the fleet, on audit events alone. Such an event is about no job of
// its own: it has no job_id.
type Audit struct {
	ID     string      `json:"id"` // of the action; its events share it
	Action AuditAction `json:"action"`
	Status AuditStatus `json:"status"`

	By   string `json:"by"`             // the user of the dashboard, or the account that ran the command
	Via  string `json:"via"`            // AuditDashboard or AuditCommand
	From string `json:"from,omitempty"` // the IP address of the browser, or the host of the command

	Letter uint64    `json:"letter,omitempty"` // the number of the dead letter: retry, drop
	Job    string    `json:"job,omitempty"`    // <source>/<job id> of that: retry, drop
	SHA256 string    `json:"sha256,omitempty"` // of the contents, where they are known: retry, drop, recheck
	URL    string    `json:"url,omitempty"`    // the link, likewise
	Until  time.Time `json:"until,omitzero"`   // the end of the pause: pause
	Reason string    `json:"reason,omitempty"` // of the pause, for people: pause
	Result string    `json:"result,omitempty"` // for people: what came of it, or why it failed
}
