package acl

// Role is what somebody does with the system.
type Role string

// The roles.
const (
	Gateway  Role = "gateway"  // submits, under one source
	Consumer Role = "consumer" // reads events through one durable, which an operator makes
	Watcher  Role = "watcher"  // submits from folders, and reads their events
	Worker   Role = "worker"   // makes the streams, works on jobs, publishes events; also `backburn run`
	Operator Role = "operator" // looks at everything, replays and drops dead letters, pauses uploads, asks WildFire with the fleet's token
	API      Role = "api"      // the HTTP API: a gateway that can be asked what became of it
)

// Roles lists them.
func Roles() []Role { return []Role{Gateway, Consumer, Watcher, Worker, Operator, API} }

// Permissions are the subjects that a client may use.
type Permissions struct {
	Role      Role     `json:"role"`
	User      string   `json:"user"`                 // a name for it: the role, and the source or durable
	Inbox     string   `json:"inbox_prefix"`         // what the client must set as its inbox prefix
	API       string   `json:"api_prefix,omitempty"` // what it must set as its JetStream API prefix; "" for the usual $JS.API
	Publish   []string `json:"publish"`              // allowed; everything else is not
	Subscribe []string `json:"subscribe"`            // likewise
}

// Options narrow a role.
type Options struct {
	Prefix   string   // nats.prefix
	Domain   string   // nats.domain: the JetStream domain that clients reach through a leaf node
	Sources  []string // for which a gateway, watcher or API may speak; a gateway has exactly one
	Durable  string   // the one consumer of RESULTS through which a consumer reads
	RawOnly  bool     // a gateway without the object bucket
	NoUrgent bool     // a gateway, watcher or API that may not submit at priority "urgent"
}

// Outside reports whether a role belongs to somebody else than the system itself. Such clients
// live in accounts of their own: permissions do not keep a client from naming a reply subject
// that is not its to publish to, and JetStream would deliver there on its behalf. In another
// account that subject is another.
func (r Role) Outside() bool { return r == Gateway || r == Consumer }
