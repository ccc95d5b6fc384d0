package acl

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Outside reports whether a role belongs to somebody else than the system itself. Such clients
// live in accounts of their own: permissions do not keep a client from naming a reply subject
// that is not its to publish to, and JetStream would deliver there on its behalf. In another
// account that subject is another.
func (r Role) Outside() bool { return r == Gateway || r == Consumer }

// WriteConf writes permissions as the accounts of the NATS server's configuration: one with the
// streams, and one for each client that is outside, which imports what it needs and no more.
// Passwords stay outside the file: each is a variable that the server takes from its environment.
func WriteConf(w io.Writer, prefix string, all ...Permissions) error {
	c := confWriter{}
	system := strings.ToUpper(prefix)
	var own, outside []Permissions
	for _, p := range all {
		if p.Role.Outside() {
			outside = append(outside, p)
		} else {
			own = append(own, p)
		}
	}
	c.line(0, "accounts {")
	c.line(1, "%s {", system)
	c.line(2, "jetstream: enabled")
	c.users(own)
	if len(outside) > 0 {
		c.line(2, "exports: [")
		for _, subject := range exported(outside) {
			response := "singleton"
			if strings.HasPrefix(subject, "$JS.API.CONSUMER.MSG.NEXT.") {
				response = "stream" // a request brings many messages
			}
			c.line(3, "{ service: %q, response_type: %s, accounts: [%s] }", subject, response, strings.Join(importers(outside, subject), ", "))
		}
		c.line(2, "]")
	}
	c.line(1, "}")
	for _, p := range outside {
		c.line(1, "%s {", account(p))
		c.users([]Permissions{p})
		c.line(2, "imports: [")
		for _, subject := range p.Publish {
			inner := inside(p, subject)
			if inner == subject {
				c.line(3, "{ service: { account: %s, subject: %q } }", system, inner)
			} else {
				c.line(3, "{ service: { account: %s, subject: %q }, to: %q }", system, inner, subject)
			}
		}
		c.line(2, "]")
		c.line(1, "}")
	}
	c.line(0, "}")
	_, err := io.WriteString(w, c.String())
	return err
}

// exported are the subjects that anybody outside imports.
func exported(outside []Permissions) []string {
	var subjects []string
	for _, p := range outside {
		for _, subject := range p.Publish {
			subjects = append(subjects, inside(p, subject))
		}
	}
	slices.Sort(subjects)
	return slices.Compact(subjects)
}

// inside is what a subject of a client is called in the account with the streams.
func inside(p Permissions, subject string) string {
	if rest, ok := strings.CutPrefix(subject, p.API+"."); ok && p.API != "" {
		return "$JS.API." + rest
	}
	return subject
}

// importers are the accounts that import a subject.
func importers(outside []Permissions, subject string) []string {
	var accounts []string
	for _, p := range outside {
		if slices.ContainsFunc(p.Publish, func(s string) bool { return inside(p, s) == subject }) {
			accounts = append(accounts, account(p))
		}
	}
	return accounts
}

// account is the name of the account of a client that is outside.
func account(p Permissions) string {
	return strings.ToUpper(strings.ReplaceAll(p.User, "-", "_"))
}

// confWriter writes indented lines.
type confWriter struct{ strings.Builder }

func (c *confWriter) line(depth int, format string, args ...any) {
	c.WriteString(strings.Repeat("  ", depth))
	fmt.Fprintf(c, format, args...)
	c.WriteByte('\n')
}

func (c *confWriter) users(all []Permissions) {
	c.line(2, "users: [")
	for _, p := range all {
		c.line(3, "{ # its clients set the inbox prefix %s", p.Inbox)
		c.line(4, "user: %q, password: $%s", p.User, Variable(p.User))
		c.line(4, "permissions: {")
		for _, list := range []struct {
			verb     string
			subjects []string
		}{{"publish", p.Publish}, {"subscribe", p.Subscribe}} {
			c.line(5, "%s: { allow: [", list.verb)
			for _, subject := range list.subjects {
				c.line(6, "%q", subject)
			}
			c.line(5, "] }")
		}
		c.line(4, "}")
		c.line(3, "}")
	}
	c.line(2, "]")
}

// Variable is the environment variable with the password of a user.
func Variable(user string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(user)) + "_PASSWORD"
}
