package acl

import (
	"backburn/internal/natsconn"
	"backburn/pipeline/queue"
)

// builder collects the subjects of a role.
type builder struct {
	n        queue.Names
	prefix   string
	pub, sub []string
}

func (b *builder) publish(subjects ...string)   { b.pub = append(b.pub, subjects...) }
func (b *builder) subscribe(subjects ...string) { b.sub = append(b.sub, subjects...) }

// Streams behind buckets are named so by JetStream.
func kv(bucket string) string     { return "KV_" + bucket }
func object(bucket string) string { return "OBJ_" + bucket }

// all are the streams that queue.Attach looks up.
func (b *builder) all() []string {
	return []string{
		b.n.JobsStream(), b.n.LedgerStream(), b.n.ResultsStream(), b.n.DeadStream(),
		kv(b.n.ControlBucket()), object(b.n.FilesBucket()),
	}
}

// info allows looking streams up, with the names and counts of their subjects.
func (b *builder) info(streams ...string) {
	for _, s := range streams {
		b.publish("$JS.API.STREAM.INFO." + s)
	}
}

// get allows reading single messages of streams.
func (b *builder) get(streams ...string) {
	for _, s := range streams {
		b.publish("$JS.API.DIRECT.GET."+s, "$JS.API.DIRECT.GET."+s+".>", "$JS.API.STREAM.MSG.GET."+s)
	}
}

// read allows consumers of one name, or of any ("*"), on a stream.
func (b *builder) read(stream, consumer string) {
	b.publish(
		"$JS.API.CONSUMER.CREATE."+stream+"."+consumer,
		"$JS.API.CONSUMER.CREATE."+stream+"."+consumer+".>", // with one filter it is part of the subject
		"$JS.API.CONSUMER.INFO."+stream+"."+consumer,
		"$JS.API.CONSUMER.MSG.NEXT."+stream+"."+consumer,
		"$JS.ACK."+stream+"."+consumer+".>",
		"$JS.ACK.*.*."+stream+"."+consumer+".>", // as servers write it that name domain and account
	)
	if consumer == "*" {
		b.publish("$JS.API.CONSUMER.DELETE." + stream + ".*") // ordered consumers go when they are done
	}
}

// watch allows following a bucket, which is done with a push consumer.
func (b *builder) watch(stream string) {
	b.publish("$JS.API.CONSUMER.CREATE."+stream+".*.>", "$JS.API.CONSUMER.INFO."+stream+".*",
		"$JS.API.CONSUMER.DELETE."+stream+".*", "$JS.FC."+stream+".>")
}

// files allows storing contents, but not reading those of others.
func (b *builder) files() {
	bucket, stream := b.n.FilesBucket(), object(b.n.FilesBucket())
	b.info(stream)
	b.publish("$O."+bucket+".C.>", "$O."+bucket+".M.>",
		"$JS.API.DIRECT.GET."+stream+".$O."+bucket+".M.>", // is it there already? names and sizes, no contents
		"$JS.API.STREAM.PURGE."+stream)                    // the parts of an upload that broke off
}

func (b *builder) gateway(source string, rawOnly bool) {
	b.publish(b.n.JobSubject("*", source))
	if !rawOnly {
		b.files()
	}
}

func (b *builder) consumer(durable string) {
	if durable == "" {
		durable = "*"
	}
	b.read(b.n.ResultsStream(), durable)
}

func (b *builder) watcher(sources []string) {
	for _, s := range sources {
		b.publish(b.n.JobSubject("*", s))
		b.publish("$JS.API.DIRECT.GET." + b.n.LedgerStream() + "." + b.prefix + ".ledger.job." + s + ".*") // does it know them?
	}
	b.info(b.all()...)
	b.get(b.n.JobsStream())          // which of the claimed files it knows
	b.read(b.n.ResultsStream(), "*") // the name has the machine and the folder in it
	b.files()
	b.watch(object(b.n.FilesBucket())) // a list of them is a watch that ends
}

// worker may do everything below the prefix that the system itself does: it is the one that
// makes streams and buckets, and brings them up to date.
func (b *builder) worker(inbox string) {
	buckets := []string{b.n.ControlBucket(), b.n.TokensBucket(), b.n.GrantsBucket()}
	streams := []string{b.n.JobsStream(), b.n.LedgerStream(), b.n.ResultsStream(), b.n.DeadStream(), object(b.n.FilesBucket())}
	for _, bucket := range buckets {
		streams = append(streams, kv(bucket))
		b.publish("$KV." + bucket + ".>")
	}
	b.info(streams...)
	b.get(streams...)
	for _, s := range streams {
		b.publish("$JS.API.STREAM.CREATE."+s, "$JS.API.STREAM.UPDATE."+s)
		b.read(s, "*")
		b.watch(s)
	}
	b.publish("$JS.API.INFO", "$JS.API.CONSUMER.LIST."+b.n.JobsStream(), "$JS.API.CONSUMER.NAMES."+b.n.JobsStream())
	b.files()
	for _, kind := range []string{".jobs.*.*", ".requeue.*.*", ".ledger.>", ".results.*.*.*", ".dead.*.*"} {
		b.publish(b.prefix + kind)
	}
	// Questions to the worker that leads the fleet, and its answers.
	asked := []string{b.n.AskSubject(), b.n.ChangedSubject(), b.n.WaitingSubject()}
	b.publish(inbox + ".>")
	for _, role := range []Role{Operator, API, Watcher} {
		b.publish(natsconn.InboxPrefix(b.prefix, string(role)) + ".>")
	}
	b.publish(asked...)
	b.subscribe(asked...)
}

func (b *builder) operator() {
	b.info(b.all()...)
	b.get(b.all()...)
	b.read(b.n.ResultsStream(), "*")
	b.read(b.n.DeadStream(), "*")
	b.publish("$JS.API.CONSUMER.LIST." + b.n.JobsStream()) // how much is in hand
	b.watch(kv(b.n.ControlBucket()))                       // the live workers
	b.read(b.n.LedgerStream(), "*")
	b.publish(b.n.WaitingSubject(), b.n.ChangedSubject())
	// Replay: the refusal of the contents is forgotten, the job requeued, the letter removed.
	b.publish(b.n.SampleSubject("*"), "$JS.API.STREAM.MSG.DELETE."+b.n.DeadStream(), b.n.RequeueSubject("*", "*"))
	b.publish(b.n.JobSubject("*", "*"), b.n.AnyLedgerJob()) // submit
	b.files()
	// What asks WildFire by itself shares the fleet's token, which is sealed with the profile's secret,
	// renews it and the login, and counts its queries.
	for _, bucket := range []string{b.n.TokensBucket(), b.n.GrantsBucket()} {
		b.info(kv(bucket))
		b.get(kv(bucket))
		b.watch(kv(bucket))
		b.publish("$KV." + bucket + ".>")
	}
	b.publish("$KV." + b.n.ControlBucket() + ".quota.>")
	b.publish("$JS.API.INFO") // doctor: has the account JetStream?
}

func (b *builder) api(source string) {
	b.gateway(source, false)
	b.info(b.all()...)
	b.get(b.n.JobsStream(), b.n.LedgerStream(), b.n.ResultsStream(), kv(b.n.ControlBucket()))
	b.read(b.n.ResultsStream(), "*")
	b.read(b.n.DeadStream(), "*")
	b.read(b.n.LedgerStream(), "*")
	b.publish(b.n.WaitingSubject())
	b.publish(b.prefix + ".ledger.job." + source + ".*") // what was handed in under which key
	b.watch(kv(b.n.ControlBucket()))
}
