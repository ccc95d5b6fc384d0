// Package acl says which NATS subjects each role of the system needs, and no more.
//
// The server enforces permissions on subjects. What JetStream does for a client is asked for
// on subjects, too ($JS.API…), so that a list of subjects decides which stream somebody may
// read, write or change. Replies come to an inbox: each role has a prefix of its own, since
// whoever may listen to the common _INBOX.> reads the deliveries of everybody.
//
// Permissions do not keep a client from naming, as the reply to a request, a subject that it may
// not publish to: the server delivers there on its behalf, and a delivery to
// $JS.API.STREAM.DELETE.… is obeyed. So whoever is not part of the system itself gets an account of
// its own, where such a subject means nothing (see Role.Outside and docs/security.md).
package acl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"backburn/internal/natsconn"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// For gives the permissions of a role. It fails where the options do not fit it.
func For(role Role, o Options) (Permissions, error) {
	if err := o.fits(role); err != nil {
		return Permissions{}, err
	}
	id := string(role)
	switch role {
	case Gateway:
		id = GatewayInbox(o.Sources[0])
	case Consumer:
		id = ConsumerInbox(o.Durable)
	}

	n := queue.NamesFor(o.Prefix)
	b := builder{n: n, streams: streams(n), role: role}
	inbox := natsconn.InboxPrefix(o.Prefix, id)
	b.subscribe(inbox + ".>")
	b.build(o, inbox)

	api := ""
	switch {
	case role.Outside():
		// In an account without JetStream $JS.API belongs to the server, which says so.
		api = APIPrefix(o.Prefix)
		b.reachAPI(api)
	case o.Domain != "":
		b.reachAPI("$JS." + o.Domain + ".API")
		b.reachBuckets("$JS." + o.Domain + ".API")
	}
	return Permissions{
		Role:      role,
		User:      o.Prefix + "-" + id,
		Inbox:     inbox,
		API:       api,
		Publish:   unique(b.pub),
		Subscribe: unique(b.sub),
	}, nil
}

// fits says what is missing of what a role needs.
func (o Options) fits(role Role) error {
	if !slices.Contains(Roles(), role) {
		return fmt.Errorf("role %q: expected one of gateway, consumer, watcher, worker, operator or api", role)
	}
	for _, s := range o.Sources {
		if !pipeline.ValidSource(s) {
			return fmt.Errorf("source %q: expected %s", s, pipeline.SourceRule)
		}
	}
	switch {
	case role == Gateway && len(o.Sources) != 1:
		return errors.New("a gateway speaks for exactly one source: name it with --source")
	case role == API && len(o.Sources) == 0:
		return errors.New("an API needs the sources of its tokens: name them with --source")
	case role == Watcher && len(o.Sources) == 0:
		return errors.New("a watcher needs the sources of its folders: name them with --source")
	case role == Consumer && !pipeline.ValidSource(o.Durable):
		return fmt.Errorf("durable %q: a consumer reads through one durable, name it with --durable: %s", o.Durable, pipeline.SourceRule)
	}
	return nil
}

// reachAPI gives the requests to JetStream another prefix.
func (b *builder) reachAPI(prefix string) {
	for i, s := range b.pub {
		if rest, ok := strings.CutPrefix(s, "$JS.API."); ok {
			b.pub[i] = prefix + "." + rest
		}
	}
}

// reachBuckets allows the writes to key-value buckets under the prefix of the requests, too, where
// clients put them in a domain.
func (b *builder) reachBuckets(prefix string) {
	for _, s := range slices.Clone(b.pub) {
		if strings.HasPrefix(s, "$KV.") {
			b.publish(prefix + "." + s)
		}
	}
}

// unique sorts subjects, and leaves out those that a wildcard among them has already.
func unique(subjects []string) []string {
	slices.Sort(subjects)
	subjects = slices.Compact(subjects)
	return slices.DeleteFunc(slices.Clone(subjects), func(s string) bool {
		return slices.ContainsFunc(subjects, func(other string) bool { return other != s && covers(other, s) })
	})
}

// covers reports whether a subject with wildcards matches all that another matches.
func covers(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		switch {
		case i >= len(s):
			return false
		case token == ">":
			return true
		case s[i] == ">", token != "*" && token != s[i]:
			return false
		}
	}
	return len(p) == len(s)
}

// APIPrefix is under what name clients outside reach JetStream's requests.
func APIPrefix(prefix string) string { return prefix + ".api" }

// GatewayInbox and ConsumerInbox are the roles' names in their inbox prefixes.
func GatewayInbox(source string) string { return string(Gateway) + "-" + source }

// ConsumerInbox is that of a consumer with a durable.
func ConsumerInbox(durable string) string { return string(Consumer) + "-" + durable }
