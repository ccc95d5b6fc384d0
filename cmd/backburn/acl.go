package main

import (
	"github.com/spf13/cobra"

	"backburn/internal/acl"
	"backburn/internal/cli"
)

func aclCommand(tool *cli.App) *cobra.Command {
	var (
		o            acl.Options
		conf, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "acl [ROLE]",
		Short: "Print the NATS permissions that a role needs",
		Long: `Prints what a gateway, consumer, watcher, worker, operator or api must be allowed to do on
the NATS server, and no more: as accounts for the server's configuration (--conf, the default)
or as JSON, one object a line, for tools that make users. Without a role it prints all of
them for one server; --source then names the gateway's and the API's, and a watcher has those of the [[watch]] entries.

Gateways and consumers get an account of their own each, and reach JetStream under the API prefix
"<prefix>.api": see docs/security.md for the reason. Passwords are variables that the server
takes from its environment. Clients set the inbox prefix that is printed with each.`,
		Example: `  backburn acl gateway --source mail
  backburn acl consumer --durable siem
  backburn acl --source mail > backburn-accounts.conf     # include it in nats-server.conf
  backburn acl gateway --source mail --json | jq -r .publish[]`,
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: roleNames(),
		RunE: func(_ *cobra.Command, args []string) error {
			if conf && asJSON {
				return cli.Usagef("--conf and --json: one of them")
			}
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			o.Prefix = cfg.NATS.Prefix
			roles := acl.Roles()
			if len(args) == 1 {
				roles = []acl.Role{acl.Role(args[0])}
			}
			var all []acl.Permissions
			for _, role := range roles {
				ro := o
				if role == acl.Watcher && (len(o.Sources) == 0 || len(args) == 0) {
					ro.Sources = nil
					for _, w := range cfg.Watch {
						ro.Sources = append(ro.Sources, w.Source)
					}
				}
				p, err := acl.For(role, ro)
				if err != nil {
					return cli.Usagef("%w", err)
				}
				all = append(all, p)
			}
			if asJSON {
				for _, p := range all {
					if err := printJSON(tool.Out, p); err != nil {
						return err
					}
				}
				return nil
			}
			return acl.WriteConf(tool.Out, o.Prefix, all...)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.Sources, "source", nil, "`sources` for which it may speak (a watcher's default: those of [[watch]])")
	f.StringVar(&o.Durable, "durable", "", "the only durable `consumer` that a consumer may use (default: any, and ordered ones)")
	f.BoolVar(&o.RawOnly, "raw", false, "a gateway that sends files in messages alone, without the object bucket")
	f.BoolVar(&conf, "conf", false, "as configuration of the NATS server (the default)")
	f.BoolVar(&asJSON, "json", false, "as JSON, one object a line")
	return cmd
}

func roleNames() []string {
	var names []string
	for _, r := range acl.Roles() {
		names = append(names, string(r))
	}
	return names
}
