// Package acl defines the NATS subjects that each role of the system needs.
//
// The server enforces permissions on subjects. JetStream requests are messages on subjects too
// ($JS.API…), so a list of subjects decides which streams a client may read, write or change.
// Replies arrive at an inbox. Each role has its own inbox prefix, because a client that may
// subscribe to the common _INBOX.> can read all deliveries to other clients.
//
// Permissions do not restrict the reply subject of a request: the server delivers to it on behalf
// of the client, and a message delivered to $JS.API.STREAM.DELETE.<stream> deletes that stream.
// Therefore clients that are not part of the system get accounts of their own, where such a subject
// has no effect (see Role.Outside and docs/security.md).
package acl

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"backburn/internal/jets"
	"backburn/internal/natsconn"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// For returns the permissions of a role. It returns an error if the options do not suit the role.
func For(role Role, o Options) (Permissions, error) {
	if err := o.validate(role); err != nil {
		return Permissions{}, err
	}

	id := string(role)
	switch role {
	case Gateway:
		id = gatewayID(o.Sources[0])
	case Consumer:
		id = consumerID(o.Durable)
	}

	n := queue.NamesFor(o.Prefix)
	b := builder{n: n, streams: streams(n), role: role}
	inbox := natsconn.InboxPrefix(o.Prefix, id)
	b.subscribe(inbox + ".>")
	b.build(o, inbox)

	system, api := "$JS.API", ""
	if o.Domain != "" {
		system = "$JS." + o.Domain + ".API"
		api = system
	}

	switch {
	case role.Outside():
		// In an account without JetStream the server itself answers on $JS.API.
		api = APIPrefix(o.Prefix)
		b.replaceAPIPrefix(api)
	case o.Domain != "":
		b.replaceAPIPrefix(system)
		b.addBucketWrites(system)
	}

	return Permissions{
		Role:      role,
		User:      o.Prefix + "-" + id,
		Inbox:     inbox,
		API:       api,
		Publish:   unique(b.publishSubjects),
		Subscribe: unique(b.subscribeSubjects),
		system:    system,
	}, nil
}

// validate returns an error if the role is unknown, or an option is invalid or missing.
func (o Options) validate(role Role) error {
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
		return errors.New("a gateway has exactly one source: name it with --source")
	case role == Watcher && len(o.Sources) == 0:
		return errors.New("a watcher needs the sources of its folders: name them with --source")
	case role == Consumer && !pipeline.ValidSource(o.Durable):
		return fmt.Errorf("durable %q: a consumer needs the name of its durable, with --durable: expected %s", o.Durable, pipeline.SourceRule)
	}

	return nil
}

// replaceAPIPrefix replaces the prefix of JetStream requests.
func (b *builder) replaceAPIPrefix(prefix string) {
	for i, s := range b.publishSubjects {
		if rest, ok := strings.CutPrefix(s, "$JS.API."); ok {
			b.publishSubjects[i] = prefix + "." + rest
		}
	}
}

// addBucketWrites allows writes to key-value buckets on a second subject, with the prefix of
// JetStream requests: clients in a domain write there.
func (b *builder) addBucketWrites(prefix string) {
	for _, s := range slices.Clone(b.publishSubjects) {
		if strings.HasPrefix(s, jets.KeySubject) {
			b.publish(prefix + "." + s)
		}
	}
}

// unique sorts subjects, and removes those that another one covers with a wildcard.
func unique(subjects []string) []string {
	slices.Sort(subjects)
	subjects = slices.Compact(subjects)
	return slices.DeleteFunc(slices.Clone(subjects), func(s string) bool {
		return slices.ContainsFunc(subjects, func(other string) bool { return other != s && covers(other, s) })
	})
}

// covers reports whether pattern matches everything that subject, itself a pattern, matches.
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

// APIPrefix returns the JetStream API prefix of clients in other accounts.
func APIPrefix(prefix string) string { return prefix + ".api" }

// gatewayID returns the end of the inbox prefix of a source's gateway, and of its user's name.
func gatewayID(source string) string { return string(Gateway) + "-" + source }

// consumerID returns the same for the consumer of a durable.
func consumerID(durable string) string { return string(Consumer) + "-" + durable }
