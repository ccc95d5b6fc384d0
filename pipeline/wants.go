package pipeline

// Wants is for methods such as [Config.Check], which call bad for each key that has an invalid
// value. The function that Wants returns calls bad(key, expected, related...) unless ok is true.
func Wants(bad func(key, expected string, related ...string)) func(ok bool, key, expected string, related ...string) {
	return func(ok bool, key, expected string, related ...string) {
		if !ok {
			bad(key, expected, related...)
		}
	}
}
