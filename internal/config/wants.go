package config

// checker is a struct of the configuration that knows its rules. Check calls bad for each key
// whose value cannot work, relative to the table of the struct, with what was expected
// instead, and with the other keys that the rule depends on. It repeats no values: they may
// come from a variable.
type checker interface {
	Check(bad func(key, expected string, beside ...string))
}
