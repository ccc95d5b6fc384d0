package acl

import (
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/results"
)

// rights are what a role may do with a stream, beside publishing to it.
type rights uint8

const (
	look   rights = 1 << iota // look it up, with the names and counts of its subjects
	get                       // read single messages, without a consumer
	read                      // pull consumers of any name
	follow                    // push consumers, as watches of buckets are
	list                      // list its consumers
	remove                    // remove single messages
	purge                     // remove all that matches
	create                    // make the stream, and bring it up to date
)

// stream is what permissions depend on: a stream, or the one behind a bucket.
type stream struct {
	name    string
	rights  map[Role]rights
	publish map[Role][]string // "{source}" stands for each source of the client
}

const anySource = "{source}"

// streams is the table from which all permissions are made: which streams there are, on which
// subjects, and what each role may do with them.
func streams(n queue.Names) []stream {
	all := look | get | read | follow | list | create

	kv := func(bucket string, r map[Role]rights, writers map[Role][]string) stream {
		s := stream{name: "KV_" + bucket, rights: r, publish: map[Role][]string{}}
		for role, keys := range writers {
			for _, k := range keys {
				s.publish[role] = append(s.publish[role], "$KV."+bucket+"."+k)
			}
		}
		return s
	}
	files := n.FilesBucket()
	store := []string{"$O." + files + ".C.>", "$O." + files + ".M.>"}
	reports := n.ReportsBucket()

	return []stream{
		{
			name: n.JobsStream(),
			rights: map[Role]rights{
				Worker:   all,
				Operator: look | get | list, // how much is in hand
				API:      look | get | list, // likewise: every process shows the fleet
				Watcher:  look | get | list, // and which of the claimed files it knows
			},
			publish: map[Role][]string{
				Worker:   {n.JobSubject("*", "*"), n.RequeueSubject("*", "*")},
				Operator: {n.JobSubject("*", "*"), n.RequeueSubject("*", "*")}, // submit, replay
				API:      {n.JobSubject("*", anySource)},
				Watcher:  {n.JobSubject("*", anySource)},
				Gateway:  {n.JobSubject("*", anySource)},
			},
		},
		{
			name: n.LedgerStream(),
			rights: map[Role]rights{
				Worker:   all,
				Operator: look | get | read,
				API:      look | get | read,
				Watcher:  look,
			},
			publish: map[Role][]string{
				Worker:   {n.SampleSubject("*"), n.AnyLedgerJob()},
				Operator: {n.SampleSubject("*"), n.AnyLedgerJob()},         // a replay forgets the refusal of the contents
				API:      {n.Prefix() + ".ledger.job." + anySource + ".*"}, // what was submitted under which key
			},
		},
		{
			name: n.ResultsStream(),
			rights: map[Role]rights{
				Worker:   all,
				Operator: look | get | read,
				API:      look | get | read,
				Watcher:  look | read, // its durable's name has the machine and the folder in it
				Consumer: look,        // and the one durable
			},
			publish: map[Role][]string{
				Worker:   {n.ResultsSubject("*", "*", "*")},
				Operator: {n.ResultsSubject(results.Audited.Name(), "*", results.AuditSource)}, // what he does
			},
		},
		{
			name: n.DeadStream(),
			rights: map[Role]rights{
				Worker:   all | remove,               // what is beyond a source's share
				Operator: look | get | read | remove, // replay and drop
				API:      look | read,
				Watcher:  look,
			},
			publish: map[Role][]string{Worker: {n.DeadSubject("*", "*")}},
		},
		kv(n.ControlBucket(), map[Role]rights{
			Worker:   all,
			Operator: look | get | follow, // the members of the fleet
			API:      look | get | follow,
			Watcher:  look | get,
		}, map[Role][]string{
			Worker:   {">"},
			Operator: {"quota.>", "pause.*"}, // a command's queries are counted; pause and resume
			API:      fleet.Rights("api"),
			Watcher:  fleet.Rights("watcher"),
		}),
		// What asks WildFire by itself shares the fleet's token, which is sealed with the profile's
		// secret, and renews it and the login.
		kv(n.TokensBucket(), map[Role]rights{Worker: all, Operator: look | get | follow},
			map[Role][]string{Worker: {">"}, Operator: {">"}}),
		kv(n.GrantsBucket(), map[Role]rights{Worker: all, Operator: look | get | follow},
			map[Role][]string{Worker: {">"}, Operator: {">"}}),
		{
			name: "OBJ_" + files,
			rights: map[Role]rights{
				Worker:   all | purge,
				Operator: look | get | purge,
				API:      look | purge,
				Watcher:  look | follow | purge, // a list of objects is a watch that ends
				Gateway:  look | purge,          // purge: the parts of an upload that broke off
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
			name: "OBJ_" + reports,
			rights: map[Role]rights{
				Worker:   all | purge,
				Operator: look | get | follow, // `backburn report HASH`; an object is read by a push consumer
			},
			publish: map[Role][]string{Worker: {"$O." + reports + ".C.>", "$O." + reports + ".M.>"}},
		},
	}
}
