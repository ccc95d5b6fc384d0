// Package acl says which NATS subjects each role of the system needs, and no more.
//
// The server enforces permissions on subjects. What JetStream does for a client is asked for
// on subjects, too ($JS.API…), so that a list of subjects decides which stream somebody may
// read, write or change. Replies come to an inbox: each role has a prefix of its own, since
// whoever may listen to the common _INBOX.> reads the deliveries of everybody.
//
// Permissions do not keep a client from naming, as the reply to a request, a subject that it may
// not publish to: the server delivers there on its behalf, and a delivery to $JS.API.STREAM.DELETE.…
// is obeyed. So whoever is not part of the system itself gets an account of its own, where such
// a subject means nothing (see Role.Outside and docs/security.md).
package acl

import (
	"fmt"
	"slices"
	"strings"

	"backburn/internal/natsconn"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// Role is what somebody does with the system.
type Role string

// The roles.
const (
	Gateway  Role = "gateway"  // hands in, under one source
	Consumer Role = "consumer" // reads events
	Watcher  Role = "watcher"  // hands in from folders, and reads their events
	Worker   Role = "worker"   // makes the streams, works on jobs, publishes events; also `backburn run`
	Operator Role = "operator" // looks at everything, replays and drops dead letters, asks WildFire with the fleet's token
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
	Prefix  string   // nats.prefix
	Sources []string // for which a gateway, watcher or API may speak; a gateway and an API have exactly one
	Durable string   // the one consumer of RESULTS that a consumer may use; "": any, also ordered ones
	RawOnly bool     // a gateway without the object bucket
}

// For gives the permissions of a role. It fails where the options do not fit it.
func For(role Role, o Options) (Permissions, error) {
	for _, s := range o.Sources {
		if !pipeline.ValidSource(s) {
			return Permissions{}, fmt.Errorf("source %q: expected 1 to 32 of a-z, 0-9, _ and -", s)
		}
	}
	if (role == Gateway || role == API) && len(o.Sources) != 1 {
		return Permissions{}, fmt.Errorf("a %s speaks for exactly one source: name it with --source", role)
	}
	if role == Watcher && len(o.Sources) == 0 {
		return Permissions{}, fmt.Errorf("a watcher needs the sources of its folders: name them with --source")
	}
	if o.Durable != "" && !pipeline.ValidSource(o.Durable) {
		return Permissions{}, fmt.Errorf("durable %q: expected 1 to 32 of a-z, 0-9, _ and -", o.Durable)
	}
	id := string(role)
	switch role {
	case Gateway:
		id = GatewayInbox(o.Sources[0])
	case Consumer:
		if o.Durable != "" {
			id = ConsumerInbox(o.Durable)
		}
	}
	b := builder{n: queue.NamesFor(o.Prefix), prefix: o.Prefix}
	inbox := natsconn.InboxPrefix(o.Prefix, id)
	b.subscribe(inbox + ".>")
	switch role {
	case Gateway:
		b.gateway(o.Sources[0], o.RawOnly)
	case Consumer:
		b.consumer(o.Durable)
	case Watcher:
		b.watcher(o.Sources)
	case Worker:
		b.worker(inbox)
	case Operator:
		b.operator()
	case API:
		b.api(o.Sources[0])
	default:
		return Permissions{}, fmt.Errorf("role %q: expected one of gateway, consumer, watcher, worker, operator or api", role)
	}
	api := ""
	if role.Outside() {
		// In an account without JetStream $JS.API belongs to the server, which says so.
		api = APIPrefix(o.Prefix)
		for i, s := range b.pub {
			if rest, ok := strings.CutPrefix(s, "$JS.API."); ok {
				b.pub[i] = api + "." + rest
			}
		}
	}
	slices.Sort(b.pub)
	slices.Sort(b.sub)
	return Permissions{Role: role, User: o.Prefix + "-" + id, Inbox: inbox, API: api, Publish: slices.Compact(b.pub), Subscribe: slices.Compact(b.sub)}, nil
}

// APIPrefix is under what name clients outside reach JetStream's requests.
func APIPrefix(prefix string) string { return prefix + ".api" }

// GatewayInbox and ConsumerInbox are the roles' names in their inbox prefixes.
func GatewayInbox(source string) string { return string(Gateway) + "-" + source }

// ConsumerInbox is that of a consumer with a durable.
func ConsumerInbox(durable string) string { return string(Consumer) + "-" + durable }
