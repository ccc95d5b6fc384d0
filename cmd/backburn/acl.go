package main

import (
	"slices"

	"github.com/spf13/cobra"

	"backburn/internal/acl"
	"backburn/internal/cli"
	"backburn/internal/config"
)

func aclCommand(tool *cli.App) *cobra.Command {
	var (
		o            acl.Options
		conf, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "acl [ROLE]",
		Short: "Print the NATS permissions of a role",
		Long: `Prints the NATS permissions of a role: gateway, consumer, watcher, worker, operator or api. The
output is a configuration of the NATS server (--conf, the default) or one JSON object per line, for
tools that create users. Without a role it prints the roles of one installation: a gateway with
--source, a consumer with --durable, and those of its own processes with the sources of the
configuration: a watcher for the [[watch]] entries, and an API for [[api.token]], [clamd] and
[mail]. "backburn clamd", "mail" and "sink" have the role api, too.

Each gateway and each consumer gets its own account, and uses JetStream with the API prefix
"<prefix>.api"; docs/security.md explains why. Passwords are variables that the server reads from
its environment. Clients must use the inbox prefix that is printed. A consumer reads through one
durable, which an operator creates (docs/events.md).

In the names of accounts and variables, "_" stands for "-". So two gateways whose sources differ
only in these characters would get the same account: give them other names.`,
		Example: `  backburn acl gateway --source mail
  backburn acl consumer --durable siem
  backburn acl --source mail --durable siem > backburn-accounts.conf     # include it in nats-server.conf
  backburn acl gateway --source mail --json | jq -r .publish[]`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: texts(acl.Roles()),
		RunE: func(_ *cobra.Command, args []string) error {
			if conf && asJSON {
				return cli.Usagef("either --conf or --json, not both")
			}

			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			o.Prefix, o.Domain = cfg.NATS.Prefix, cfg.NATS.Domain
			roles := rolesFor(o, cfg)
			if len(args) == 1 {
				roles = []acl.Role{acl.Role(args[0])}
			}

			var all []acl.Permissions
			for _, role := range roles {
				roleOptions := o
				if !role.Outside() && (len(o.Sources) == 0 || len(args) == 0) {
					roleOptions.Sources = ownSources(role, cfg)
				}
				if role == acl.API && len(roleOptions.Sources) == 0 && len(cfg.Sink) == 0 {
					return cli.Usagef("an API needs the sources under which it submits: name them with --source")
				}

				p, err := acl.For(role, roleOptions)
				if err != nil {
					return cli.Usagef("%w", err)
				}

				all = append(all, p)
			}

			if asJSON {
				return printJSON(tool.Out, all...)
			}

			return acl.WriteConf(tool.Out, o.Prefix, all...)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Sources, "source", nil, "`sources` that it may use (default for a watcher and an API: those of the configuration)")
	f.StringVar(&o.Durable, "durable", "", "the durable `name` through which a consumer reads")
	f.BoolVar(&o.RawOnly, "raw", false, "do not allow the gateway the object bucket: files must fit into messages")
	f.BoolVar(&o.NoUrgent, "no-urgent", false, "do not allow a gateway, a watcher or an API the priority urgent")
	f.BoolVar(&conf, "conf", false, "as configuration of the NATS server (the default)")
	f.BoolVar(&asJSON, "json", false, "as JSON, one object per line")

	return cmd
}

// rolesFor returns the roles for which the options and the configuration have enough information.
func rolesFor(o acl.Options, cfg config.Config) []acl.Role {
	return slices.DeleteFunc(acl.Roles(), func(r acl.Role) bool {
		switch r {
		case acl.Gateway:
			return len(o.Sources) == 0
		case acl.API:
			return len(ownSources(r, cfg)) == 0 && len(cfg.Sink) == 0
		case acl.Consumer:
			return o.Durable == ""
		case acl.Watcher:
			return len(cfg.Watch) == 0
		}

		return false
	})
}

// ownSources returns the sources under which the processes with a role submit, from the
// configuration.
func ownSources(role acl.Role, cfg config.Config) []string {
	var sources []string
	switch role {
	case acl.Watcher:
		for _, w := range cfg.Watch {
			sources = append(sources, w.Source)
		}
	case acl.API:
		for _, t := range cfg.API.Tokens {
			sources = append(sources, t.Source)
		}
		if cfg.Clamd.Listen != "" {
			sources = append(sources, cfg.Clamd.Source)
		}
		if cfg.Mail.Listen != "" {
			sources = append(sources, cfg.Mail.Source)
		}
	}

	return sources
}
