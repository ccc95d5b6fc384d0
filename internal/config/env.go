package config

import (
	"fmt"
	"regexp"
	"strings"
)

// Env looks a variable up, as os.LookupEnv does.
type Env = func(name string) (value string, set bool)

// dollar matches each part of a string that the function expand processes: an escaped dollar sign,
// a reference to a variable, or the beginning of an invalid reference.
var dollar = regexp.MustCompile(`\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}|\$\{`)

// reference matches a string that consists of one reference.
var reference = regexp.MustCompile(`^\$\{[A-Za-z_][A-Za-z0-9_]*\}$`)

// expand replaces ${NAME} and $$. Replaced text is not expanded again. Each complaint describes an
// error without repeating a value.
func expand(s string, env Env) (expanded string, complaints []string) {
	expanded = dollar.ReplaceAllStringFunc(s, func(m string) string {
		switch {
		case m == "$$":
			return "$"
		case m == "${":
			complaints = append(complaints,
				`expected a variable such as ${NAME} (letters, digits and _) after "${"; write $$ for a dollar sign`)
			return m
		}

		name := m[2 : len(m)-1]
		value, set := env(name)
		if !set {
			complaints = append(complaints, fmt.Sprintf("the environment variable %s is not set", name))
		}

		return value
	})
	return expanded, complaints
}

// variables lists the names of the variables in a string before expansion.
func variables(s string) []string {
	var names []string
	for _, m := range dollar.FindAllStringSubmatch(s, -1) {
		if m[1] != "" {
			names = append(names, m[1])
		}
	}

	return names
}

// escape returns a string that expand turns into s.
func escape(s string) string { return strings.ReplaceAll(s, "$", "$$") }
