package acl

import (
	"slices"
	"strings"

	"backburn/internal/natsconn"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// builder makes the subjects of one role out of the table.
type builder struct {
	n        queue.Names
	streams  []stream
	role     Role
	pub, sub []string
}

func (b *builder) publish(subjects ...string)   { b.pub = append(b.pub, subjects...) }
func (b *builder) subscribe(subjects ...string) { b.sub = append(b.sub, subjects...) }

// build adds what the table gives the role, which speaks for some sources.
func (b *builder) build(o Options, inbox string) {
	if o.RawOnly {
		b.streams = slices.DeleteFunc(b.streams, func(s stream) bool { return strings.HasPrefix(s.name, "OBJ_") })
	}
	for _, s := range b.streams {
		for _, subject := range s.publish[b.role] {
			b.publishFor(subject, o)
		}
	}
	b.looking()
	b.consuming()
	b.changing()
	b.beside(o, inbox)
}

// publishFor replaces the place of the source, and that of the priority where one is forbidden.
func (b *builder) publishFor(subject string, o Options) {
	if !strings.Contains(subject, anySource) {
		b.publish(subject)
		return
	}
	for _, source := range o.Sources {
		if !o.NoUrgent || subject != b.n.JobSubject("*", anySource) {
			b.publish(strings.ReplaceAll(subject, anySource, source))
			continue
		}
		for _, p := range pipeline.Priorities() {
			if p != pipeline.Urgent {
				b.publish(b.n.JobSubject(p, source))
			}
		}
	}
}

// looking is what leaves everything as it is. A role that may do it with every stream has one
// subject for all, since a user's JWT has to fit into a line.
func (b *builder) looking() {
	b.forAll(look, []string{"$JS.API.STREAM.INFO.*"}, func(s string) []string {
		return []string{"$JS.API.STREAM.INFO." + s}
	})
	b.forAll(get, []string{"$JS.API.DIRECT.GET.>", "$JS.API.STREAM.MSG.GET.*"}, func(s string) []string {
		newest := "$JS.API.DIRECT.GET." + s + ".>" // of a subject, which is all that most buckets need
		switch {
		case s == "KV_"+b.n.ControlBucket():
			return []string{newest, "$JS.API.DIRECT.GET." + s} // all members of the fleet at once
		case strings.HasPrefix(s, "KV_"):
			return []string{newest}
		}
		return []string{newest, "$JS.API.DIRECT.GET." + s, "$JS.API.STREAM.MSG.GET." + s}
	})
}

// consuming is what consumers need: CONSUMER.*.<stream>.> makes them, looks at them and deletes
// them.
func (b *builder) consuming() {
	pull := []string{"$JS.API.CONSUMER.>", "$JS.ACK.>"}
	b.forAll(read, pull, func(s string) []string {
		return []string{
			"$JS.API.CONSUMER.*." + s + ".>",
			"$JS.API.CONSUMER.MSG.NEXT." + s + ".*",
			"$JS.ACK." + s + ".>",
			"$JS.ACK.*.*." + s + ".>", // as servers write it that name domain and account
		}
	})
	b.forAll(follow, append(pull, "$JS.FC.>"), func(s string) []string {
		return []string{"$JS.API.CONSUMER.*." + s + ".>", "$JS.FC." + s + ".>"}
	})
	b.forEach(list, func(s string) []string {
		return []string{"$JS.API.CONSUMER.LIST." + s, "$JS.API.CONSUMER.NAMES." + s}
	})
}

// changing is never given by a wildcard.
func (b *builder) changing() {
	b.forEach(remove, func(s string) []string { return []string{"$JS.API.STREAM.MSG.DELETE." + s} })
	b.forEach(purge, func(s string) []string { return []string{"$JS.API.STREAM.PURGE." + s} })
	b.forEach(create, func(s string) []string {
		return []string{"$JS.API.STREAM.CREATE." + s, "$JS.API.STREAM.UPDATE." + s}
	})
}

// beside is what belongs to no stream, or to a part of one.
func (b *builder) beside(o Options, inbox string) {
	switch b.role {
	case Worker:
		b.questions(inbox)
		for _, s := range b.n.OldStreams() { // carried over, once
			b.publish("$JS.API.STREAM.DELETE." + s)
		}
	case Operator:
		b.publish("$JS.API.INFO")                                               // doctor: has the account JetStream?
		b.publish(b.n.WaitingSubject(), b.n.ChangedSubject(), b.n.AskSubject()) // the last: recheck
	case API:
		b.publish(b.n.WaitingSubject())
	case Watcher:
		b.publish(b.n.WaitingSubject())
		for _, source := range o.Sources { // does the ledger know its jobs?
			b.publish("$JS.API.DIRECT.GET." + b.n.LedgerStream() + "." + b.n.Prefix() + ".ledger.job." + source + ".*")
		}
	case Consumer:
		b.durable(b.n.ResultsStream(), o.Durable)
	}
	if b.role != Worker && b.role != Operator && b.role != Consumer && !o.RawOnly {
		// Is an object there already? Names and sizes, no contents.
		files := b.n.FilesBucket()
		b.publish("$JS.API.DIRECT.GET.OBJ_" + files + ".$O." + files + ".M.>")
	}
}

// questions are those to the worker that leads the fleet, and its answers to all who may ask.
func (b *builder) questions(inbox string) {
	asked := []string{b.n.AskSubject(), b.n.ChangedSubject(), b.n.WaitingSubject()}
	b.publish(asked...)
	b.subscribe(asked...)

	b.publish("$JS.API.INFO", inbox+".>")
	for _, role := range []Role{Operator, API, Watcher} {
		b.publish(natsconn.InboxPrefix(b.n.Prefix(), string(role)) + ".>")
	}
}

// durable allows one consumer that is there, and not to make it: who makes a consumer says where
// the server delivers to, be it a subject that he may not publish to.
func (b *builder) durable(stream, name string) {
	b.publish(
		"$JS.API.CONSUMER.INFO."+stream+"."+name,
		"$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name,
		"$JS.ACK."+stream+"."+name+".>",
		"$JS.ACK.*.*."+stream+"."+name+".>",
	)
}

// forAll adds every, if the role has the right to each stream of the table, and otherwise those of
// single streams.
func (b *builder) forAll(right rights, every []string, of func(stream string) []string) {
	if !slices.ContainsFunc(b.streams, func(s stream) bool { return s.rights[b.role]&right == 0 }) {
		b.publish(every...)
		return
	}
	b.forEach(right, of)
}

func (b *builder) forEach(right rights, of func(stream string) []string) {
	for _, s := range b.streams {
		if s.rights[b.role]&right != 0 {
			b.publish(of(s.name)...)
		}
	}
}
