package acl

// Role is the purpose for which a client uses the system.
type Role string

// The roles.
const (
	Gateway  Role = "gateway"  // submits, under one source
	Consumer Role = "consumer" // reads events through one durable, which an operator creates
	Watcher  Role = "watcher"  // submits from folders, and reads their events
	Worker   Role = "worker"   // creates the streams, processes jobs, publishes events; also `backburn run`
	Operator Role = "operator" // reads everything, replays and drops dead letters, pauses uploads, asks WildFire with the fleet's token
	API      Role = "api"      // the HTTP API, clamd, mail and sinks: submits jobs and reads their results
)

// Roles lists all roles.
func Roles() []Role { return []Role{Gateway, Consumer, Watcher, Worker, Operator, API} }

// Permissions are the subjects that a client may use.
type Permissions struct {
	Role      Role     `json:"role"`
	User      string   `json:"user"`                 // the user's name: the prefix, the role, and the source or durable of an outside client
	Inbox     string   `json:"inbox_prefix"`         // inbox prefix that the client must use
	API       string   `json:"api_prefix,omitempty"` // JetStream API prefix that the client must use; "" for $JS.API
	Publish   []string `json:"publish"`              // allowed subjects; all others are denied
	Subscribe []string `json:"subscribe"`            // likewise

	system string // JetStream API prefix in the account with the streams
}

// Options narrow a role.
type Options struct {
	Prefix   string   // nats.prefix
	Domain   string   // nats.domain: the JetStream domain that clients reach through a leaf node
	Sources  []string // sources that a gateway, watcher or API may use; a gateway has exactly one, sinks need none
	Durable  string   // the JetStream consumer of RESULTS that the role consumer uses
	RawOnly  bool     // a gateway without the object bucket; no other role is restricted
	NoUrgent bool     // a gateway, watcher or API that may not submit at priority "urgent"
}

// Outside reports whether clients with the role are not part of the system. Such clients have
// accounts of their own: permissions do not restrict reply subjects, and JetStream would deliver to
// any reply subject on a client's behalf. In another account the same subject has no effect.
func (r Role) Outside() bool { return r == Gateway || r == Consumer }
