package acl

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Account is an account of the server, with its users, exports and imports.
type Account struct {
	Name      string
	JetStream bool
	Users     []Permissions
	Exports   []Export
	Imports   []Import
}

// Export is a service that other accounts may use. Stream means that a request may have many
// answers.
type Export struct {
	Subject  string
	Stream   bool
	Accounts []string
}

// Import is a service of another account, mapped to a local subject.
type Import struct {
	Account string
	Subject string // in the other account
	To      string // in this account
}

// Accounts divides users into accounts: one with the streams, and one for each outside client,
// which imports only the services that it needs.
func Accounts(prefix string, all ...Permissions) []Account {
	system := Account{Name: strings.ToUpper(prefix), JetStream: true}
	var outside []Permissions
	for _, p := range all {
		if p.Role.Outside() {
			outside = append(outside, p)
		} else {
			system.Users = append(system.Users, p)
		}
	}

	for _, subject := range exported(outside) {
		system.Exports = append(system.Exports, Export{
			Subject:  subject,
			Stream:   strings.Contains(subject, ".API.CONSUMER.MSG.NEXT."), // a request has many answers
			Accounts: importers(outside, subject),
		})
	}

	accounts := []Account{system}
	for _, p := range outside {
		a := Account{Name: account(p), Users: []Permissions{p}}
		for _, subject := range p.Publish {
			a.Imports = append(a.Imports, Import{Account: system.Name, Subject: systemSubject(p, subject), To: subject})
		}

		accounts = append(accounts, a)
	}

	return accounts
}

// WriteConf writes permissions as the accounts of the NATS server's configuration. Passwords stay
// outside the file: each is a variable that the server takes from its environment.
func WriteConf(w io.Writer, prefix string, all ...Permissions) error {
	c := confWriter{}
	c.line(0, "accounts {")
	for _, a := range Accounts(prefix, all...) {
		c.account(a)
	}
	c.line(0, "}")
	_, err := io.WriteString(w, c.String())

	return err
}

func (c *confWriter) account(a Account) {
	c.line(1, "%s {", a.Name)
	if a.JetStream {
		c.line(2, "jetstream: enabled")
	}

	c.users(a.Users)
	if len(a.Exports) > 0 {
		c.line(2, "exports: [")
		for _, e := range a.Exports {
			response := "singleton"
			if e.Stream {
				response = "stream"
			}

			c.line(3, "{ service: %q, response_type: %s, accounts: [%s] }", e.Subject, response, strings.Join(e.Accounts, ", "))
		}

		c.line(2, "]")
	}

	if len(a.Imports) > 0 {
		c.line(2, "imports: [")
		for _, i := range a.Imports {
			if i.To == i.Subject {
				c.line(3, "{ service: { account: %s, subject: %q } }", i.Account, i.Subject)
			} else {
				c.line(3, "{ service: { account: %s, subject: %q }, to: %q }", i.Account, i.Subject, i.To)
			}
		}

		c.line(2, "]")
	}

	c.line(1, "}")
}

// exported returns the subjects that outside clients import.
func exported(outside []Permissions) []string {
	var subjects []string
	for _, p := range outside {
		for _, subject := range p.Publish {
			subjects = append(subjects, systemSubject(p, subject))
		}
	}
	slices.Sort(subjects)

	return slices.Compact(subjects)
}

// systemSubject returns the name of a client's subject in the account with the streams.
func systemSubject(p Permissions, subject string) string {
	if rest, ok := strings.CutPrefix(subject, p.API+"."); ok && p.API != "" {
		return p.system + "." + rest
	}
	return subject
}

// importers returns the accounts that import a subject.
func importers(outside []Permissions, subject string) []string {
	var accounts []string
	for _, p := range outside {
		if slices.ContainsFunc(p.Publish, func(s string) bool { return systemSubject(p, s) == subject }) {
			accounts = append(accounts, account(p))
		}
	}
	return accounts
}

// account returns the name of an outside client's account: its user name in capitals, with _ for
// -. Variable does the same, because shells do not allow - in the name of a variable. Two clients
// whose names differ only in these characters would therefore share an account, and the Variable
// with their password.
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

// Variable returns the name of the environment variable with a user's password; see account.
func Variable(user string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(user)) + "_PASSWORD"
}
