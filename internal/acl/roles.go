package acl

import (
	"slices"
	"strings"

	"backburn/internal/jets"
	"backburn/internal/natsconn"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// builder derives the subjects of one role from the table.
type builder struct {
	n                                  queue.Names
	streams                            []stream
	role                               Role
	publishSubjects, subscribeSubjects []string
}

func (b *builder) publish(subjects ...string) {
	b.publishSubjects = append(b.publishSubjects, subjects...)
}

func (b *builder) subscribe(subjects ...string) {
	b.subscribeSubjects = append(b.subscribeSubjects, subjects...)
}

// build adds the subjects that the table gives the role.
func (b *builder) build(o Options, inbox string) {
	o.RawOnly = o.RawOnly && b.role == Gateway
	if o.RawOnly {
		b.streams = slices.DeleteFunc(b.streams, func(s stream) bool { return strings.HasPrefix(s.name, jets.ObjectStream) })
	}

	for _, s := range b.streams {
		for _, subject := range s.publish[b.role] {
			b.publishFor(subject, o)
		}
	}

	b.addReads()
	b.addConsumers()
	b.addChanges()
	b.addOthers(o, inbox)
}

// publishFor adds the subject for each source and, if urgent is forbidden, for each other priority.
func (b *builder) publishFor(subject string, o Options) {
	if !strings.Contains(subject, eachSource) {
		b.publish(subject)
		return
	}

	for _, source := range o.Sources {
		if !o.NoUrgent || subject != b.n.JobSubject("*", eachSource) {
			b.publish(strings.ReplaceAll(subject, eachSource, source))
			continue
		}

		for _, p := range pipeline.Priorities() {
			if p != pipeline.Urgent {
				b.publish(b.n.JobSubject(p, source))
			}
		}
	}
}

// addReads adds read-only requests. A role that may read every stream gets wildcards, because a
// user's JWT must fit into one protocol line.
func (b *builder) addReads() {
	b.forAll(info, []string{"$JS.API.STREAM.INFO.*"}, func(s string) []string {
		return []string{"$JS.API.STREAM.INFO." + s}
	})
	b.forAll(get, []string{"$JS.API.DIRECT.GET.>", "$JS.API.STREAM.MSG.GET.*"}, func(s string) []string {
		newest := "$JS.API.DIRECT.GET." + s + ".>" // the newest message of a subject, which is enough for most buckets
		switch {
		case s == jets.KeyStream+b.n.ControlBucket():
			return []string{newest, "$JS.API.DIRECT.GET." + s} // all members of the fleet at once
		case strings.HasPrefix(s, jets.KeyStream):
			return []string{newest}
		}

		return []string{newest, "$JS.API.DIRECT.GET." + s, "$JS.API.STREAM.MSG.GET." + s}
	})
}

// addConsumers adds the requests for consumers: CONSUMER.*.<stream>.> creates, reads and deletes
// them.
func (b *builder) addConsumers() {
	pull := []string{"$JS.API.CONSUMER.>", "$JS.ACK.>"}
	b.forAll(read, pull, func(s string) []string {
		return []string{
			"$JS.API.CONSUMER.*." + s + ".>",
			"$JS.API.CONSUMER.MSG.NEXT." + s + ".*",
			"$JS.ACK." + s + ".>",
			"$JS.ACK.*.*." + s + ".>", // the form with domain and account
		}
	})
	b.forAll(follow, append(pull, "$JS.FC.>"), func(s string) []string {
		return []string{"$JS.API.CONSUMER.*." + s + ".>", "$JS.FC." + s + ".>"}
	})
	b.forEach(list, func(s string) []string {
		return []string{"$JS.API.CONSUMER.LIST." + s, "$JS.API.CONSUMER.NAMES." + s}
	})
}

// addChanges adds the requests that change streams. They never contain wildcards.
func (b *builder) addChanges() {
	b.forEach(remove, func(s string) []string { return []string{"$JS.API.STREAM.MSG.DELETE." + s} })
	b.forEach(purge, func(s string) []string { return []string{"$JS.API.STREAM.PURGE." + s} })
	b.forEach(create, func(s string) []string {
		return []string{"$JS.API.STREAM.CREATE." + s, "$JS.API.STREAM.UPDATE." + s}
	})
}

// addOthers adds subjects that belong to no stream, or to a part of one.
func (b *builder) addOthers(o Options, inbox string) {
	switch b.role {
	case Worker:
		b.addLeaderRequests(inbox)
		for _, s := range b.n.OldStreams() { // for the migration from version 1
			b.publish("$JS.API.STREAM.DELETE." + s)
		}
	case Operator:
		b.publish("$JS.API.INFO")                                               // doctor: does the account have JetStream?
		b.publish(b.n.WaitingSubject(), b.n.ChangedSubject(), b.n.AskSubject()) // the last one is for recheck
	case API:
		b.publish(b.n.WaitingSubject())
	case Watcher:
		b.publish(b.n.WaitingSubject())
		for _, source := range o.Sources { // to find out whether the ledger knows its jobs
			b.publish("$JS.API.DIRECT.GET." + b.n.LedgerStream() + "." + b.n.Prefix() + ".ledger.job." + source + ".*")
		}
	case Consumer:
		b.addDurable(b.n.ResultsStream(), o.Durable)
	}

	if b.role != Worker && b.role != Operator && b.role != Consumer && !o.RawOnly {
		// To find out whether an object exists: names and sizes, no contents.
		files := b.n.FilesBucket()
		b.publish("$JS.API.DIRECT.GET." + jets.ObjectStream + files + "." + jets.ObjectMeta(files, ">"))
	}
}

// addLeaderRequests adds the subjects for requests to the leader, and for its answers.
func (b *builder) addLeaderRequests(inbox string) {
	subjects := []string{b.n.AskSubject(), b.n.ChangedSubject(), b.n.WaitingSubject()}
	b.publish(subjects...)
	b.subscribe(subjects...)

	b.publish("$JS.API.INFO", inbox+".>")
	for _, role := range []Role{Operator, API, Watcher} {
		b.publish(natsconn.InboxPrefix(b.n.Prefix(), string(role)) + ".>")
	}
}

// addDurable allows the use of one existing consumer, but not its creation: the creator of a
// consumer chooses where the server delivers, even a subject to which the creator may not publish.
func (b *builder) addDurable(stream, name string) {
	b.publish(
		"$JS.API.CONSUMER.INFO."+stream+"."+name,
		"$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name,
		"$JS.ACK."+stream+"."+name+".>",
		"$JS.ACK.*.*."+stream+"."+name+".>",
	)
}

// forAll adds the wildcards if the role has the right to all streams of the table. Otherwise it
// adds the subjects of each stream to which the role has the right.
func (b *builder) forAll(right rights, wildcards []string, subjectsOf func(stream string) []string) {
	if !slices.ContainsFunc(b.streams, func(s stream) bool { return s.rights[b.role]&right == 0 }) {
		b.publish(wildcards...)
		return
	}
	b.forEach(right, subjectsOf)
}

func (b *builder) forEach(right rights, subjectsOf func(stream string) []string) {
	for _, s := range b.streams {
		if s.rights[b.role]&right != 0 {
			b.publish(subjectsOf(s.name)...)
		}
	}
}
