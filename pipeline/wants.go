package pipeline

// Wants helps to write a method Check, which calls bad for each key that has an invalid value. The
// function that it returns takes a condition, and calls bad if the condition does not hold.
func Wants(bad func(key, expected string, related ...string)) func(ok bool, key, expected string, related ...string) {
	return func(ok bool, key, expected string, related ...string) {
		if !ok {
			bad(key, expected, related...)
		}
	}
}
