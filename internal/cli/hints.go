package cli

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// simulateFlag is the flag with which a command uses the simulation.
const simulateFlag = "simulate"

// hint is a command in a message, such as `backburn dead list`.
var hint = regexp.MustCompile("`backburn [^`\n]+`")

// Hints returns a message of a command. If the command uses the simulation, so do the commands that
// the message suggests.
func (a *App) Hints(message string) string {
	if !a.simulate {
		return message
	}

	return simulatedHints(message)
}

// hintsOf is Hints without an App.
func hintsOf(cmd *cobra.Command, message string) string {
	if f := cmd.Flags().Lookup(simulateFlag); f == nil || f.Value.String() != "true" {
		return message
	}

	return simulatedHints(message)
}

func simulatedHints(message string) string {
	return hint.ReplaceAllStringFunc(message, func(command string) string {
		if strings.Contains(command, "--"+simulateFlag) {
			return command
		}

		return strings.TrimSuffix(command, "`") + " --" + simulateFlag + "`"
	})
}
