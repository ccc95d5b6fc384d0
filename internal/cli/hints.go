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

// simulatedHints makes the commands that a message suggests use the simulation, if they can.
func simulatedHints(root *cobra.Command, message string) string {
	return hint.ReplaceAllStringFunc(message, func(text string) string {
		command := strings.TrimSuffix(text, "`")
		found, _, err := root.Find(strings.Fields(command)[1:])
		if err != nil || found.Flag(simulateFlag) == nil || strings.Contains(command, "--"+simulateFlag) {
			return text
		}

		return command + " --" + simulateFlag + "`"
	})
}
