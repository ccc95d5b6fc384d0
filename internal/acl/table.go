package acl

import (
	"backburn/internal/jets"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
)

// rights are the operations of a role on a stream, besides publishing to it.
type rights uint8

const (
	info   rights = 1 << iota // read its state, with the names and counts of its subjects
	get                       // read single messages, without a consumer
	read                      // pull consumers of any name
	follow                    // push consumers, such as watches of buckets
	list                      // list its consumers
	remove                    // remove single messages
	purge                     // remove all matching messages
	create                    // create and update the stream
)

// stream describes a stream, or the stream of a bucket, for permissions.
type stream struct {
	name    string
	rights  map[Role]rights
	publish map[Role][]string // "{source}" stands for each source of the client
}

const eachSource = "{source}"

// streams is the table from which all permissions are derived: the streams, their subjects, and the
// rights of each role.
func streams(n queue.Names) []stream {
	base := info | get | read | follow | list | create

	kv := func(bucket string, r map[Role]rights, writers map[Role][]string) stream {
		s := stream{name: jets.KeyStream + bucket, rights: r, publish: map[Role][]string{}}
		for role, keys := range writers {
			for _, k := range keys {
				s.publish[role] = append(s.publish[role], jets.KeySubject+bucket+"."+k)
			}
		}

		return s
	}
	files := n.FilesBucket()
	store := []string{jets.ObjectChunks(files, ">"), jets.ObjectMeta(files, ">")}
	reports := n.ReportsBucket()

	return []stream{
		{
			name: n.JobsStream(),
			rights: map[Role]rights{
				Worker:   base,
				Operator: info | get | list, // how many jobs are held
				API:      info | get | list, // every process shows the fleet's state
				Watcher:  info | get | list, // also to find out which claimed files the queue knows
			},
			publish: map[Role][]string{
				Worker:   {n.JobSubject("*", "*"), n.RequeueSubject("*", "*")},
				Operator: {n.JobSubject("*", "*"), n.RequeueSubject("*", "*")}, // submit, replay
				API:      {n.JobSubject("*", eachSource)},
				Watcher:  {n.JobSubject("*", eachSource)},
				Gateway:  {n.JobSubject("*", eachSource)},
			},
		},
		{
			name: n.LedgerStream(),
			rights: map[Role]rights{
				Worker:   base,
				Operator: info | get | read,
				API:      info | get | read,
				Watcher:  info,
			},
			publish: map[Role][]string{
				Worker:   {n.SampleSubject("*"), n.AnyJobRecord()},
				Operator: {n.SampleSubject("*"), n.AnyJobRecord()},          // a replay removes a recorded refusal
				API:      {n.Prefix() + ".ledger.job." + eachSource + ".*"}, // to recognize repeated Idempotency-Keys
			},
		},
		{
			name: n.ResultsStream(),
			rights: map[Role]rights{
				Worker:   base,
				Operator: info | get | read,
				API:      info | get | read,
				Watcher:  info | read, // its durable's name contains the machine and the folder
				Consumer: info,        // and its durable, see builder.addDurable
			},
			publish: map[Role][]string{
				Worker:   {n.ResultsSubject("*", "*", "*")},
				Operator: {n.ResultsSubject(results.Audited.Name(), "*", results.AuditSource)}, // audit events
			},
		},
		{
			name: n.DeadStream(),
			rights: map[Role]rights{
				Worker:   base | remove,              // removes dead letters beyond a source's share
				Operator: info | get | read | remove, // replay and drop
				API:      info | read,
				Watcher:  info,
			},
			publish: map[Role][]string{Worker: {n.DeadSubject("*", "*")}},
		},
		kv(n.ControlBucket(), map[Role]rights{
			Worker:   base,
			Operator: info | get | follow, // the members of the fleet
			API:      info | get | follow,
			Watcher:  info | get,
		}, map[Role][]string{
			Worker:   {">"},
			Operator: {"quota.>", "pause.*"}, // commands count their queries, and start and end pauses
			API:      fleet.OwnKeys("api"),
			Watcher:  fleet.OwnKeys("watcher"),
		}),
		// Roles that call WildFire share the fleet's token, which is sealed with the profile's
		// cache key or secret. They renew the token and the login.
		kv(n.TokensBucket(), map[Role]rights{Worker: base, Operator: info | get | follow},
			map[Role][]string{Worker: {">"}, Operator: {">"}}),
		kv(n.GrantsBucket(), map[Role]rights{Worker: base, Operator: info | get | follow},
			map[Role][]string{Worker: {">"}, Operator: {">"}}),
		{
			name: jets.ObjectStream + files,
			rights: map[Role]rights{
				Worker:   base | purge,
				Operator: info | get | purge,
				API:      info | purge,
				Watcher:  info | follow | purge, // listing objects uses a watch
				Gateway:  info | purge,          // purge: for parts of an interrupted upload
			},
			publish: map[Role][]string{
				Worker:   store,
				Operator: store,
				API:      store,
				Watcher:  store,
				Gateway:  store,
			},
		},
		{
			name: jets.ObjectStream + reports,
			rights: map[Role]rights{
				Worker:   base | purge,
				Operator: info | get | follow, // `backburn report HASH`; reading an object uses a push consumer
			},
			publish: map[Role][]string{Worker: {jets.ObjectChunks(reports, ">"), jets.ObjectMeta(reports, ">")}},
		},
	}
}
