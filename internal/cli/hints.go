package cli

import (
	"regexp"
	"strings"
)

// simulateFlag is the flag with which a command uses the simulation.
const simulateFlag = "simulate"

// hint is a command in a message, such as `backburn dead list`.
var hint = regexp.MustCompile("`backburn [^`\n]+`")

// simulatedHints makes the commands that a message suggests use the simulation.
func simulatedHints(message string) string {
	return hint.ReplaceAllStringFunc(message, func(command string) string {
		if strings.Contains(command, "--"+simulateFlag) {
			return command
		}

		return strings.TrimSuffix(command, "`") + " --" + simulateFlag + "`"
	})
}
