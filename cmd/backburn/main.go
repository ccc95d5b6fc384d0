// Command backburn is everything in one binary: it runs the whole system on one machine, submits
// files, shows their results, and helps to find faults.
package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/daemons"
)

// daemonsByName has the names under which packages link this binary, and the daemon that each name
// runs.
var daemonsByName = map[string]func() cli.Daemon{
	"backburn-watcher": daemons.Watcher,
	"backburn-worker":  daemons.Worker,
}

func main() {
	name := strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
	if daemon, ok := daemonsByName[name]; ok {
		os.Exit(daemons.Main(daemon().WithName(name)))
	}
	os.Exit(run(context.Background(), os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, env config.Env, stdin io.Reader, stdout, stderr io.Writer) int {
	std := cli.Std{
		Args: args,
		Env:  env,
		In:   stdin,
		Out:  stdout,
		Err:  stderr,
	}

	return cli.Run(ctx, rootCommand, std)
}

// commands has the constructor of every command.
var commands = []func(*cli.App) *cobra.Command{
	runCommand,
	watcherCommand,
	workerCommand,
	demoCommand,
	simulateCommand,
	submitCommand,
	policyCommand,
	planCommand,
	resultsCommand,
	statusCommand,
	traceCommand,
	deadCommand,
	pauseCommand,
	resumeCommand,
	verdictCommand,
	recheckCommand,
	reportCommand,
	tokenCommand,
	loginCommand,
	logoutCommand,
	doctorCommand,
	healthcheckCommand,
	aclCommand,
	unclaimCommand,
	apiCommand,
	clamdCommand,
	mailCommand,
	sinkCommand,
	configCommand,
	manCommand,
	versionCommand,
}

func watcherCommand(tool *cli.App) *cobra.Command {
	cmd := daemons.Watcher().WithName("backburn watcher").Subcommand(tool)
	cmd.Aliases = []string{"watch"}

	return cmd
}

func workerCommand(tool *cli.App) *cobra.Command {
	return daemons.Worker().WithName("backburn worker").Subcommand(tool)
}

func rootCommand(std cli.Std) *cobra.Command {
	root := &cobra.Command{
		Use:     "backburn",
		Version: cli.ThisBuild().String(),
		Short:   "Send suspicious files to WildFire and publish the verdicts",
		Long: `backburn sends suspicious files to Palo Alto Networks WildFire and publishes the verdicts as
events on NATS.

Exit codes: 0 success, 1 something is malicious, 2 wrong usage or configuration, 3 a part of
the work failed, 4 a server, port or disk space is not available, 130 or 143 on a signal.`,
		Example: `  backburn demo                  # files in, verdicts out, in half a minute
  backburn run --simulate        # everything in one process; drop files into ./quarantine
  backburn submit --wait FILE    # submit a file and wait for its verdict
  backburn status                # state of the fleet
  backburn doctor                # what is wrong, and how to repair it`,
	}
	root.SetVersionTemplate("backburn {{.Version}}\n")
	tool := cli.NewApp(root, std)
	for _, command := range commands {
		root.AddCommand(command(tool))
	}

	registerCompletions(root, tool)

	return cli.Group(root)
}
