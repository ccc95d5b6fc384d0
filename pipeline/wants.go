package pipeline

// Wants is for methods such as [Config.Check], which call bad for each key that has an invalid
// value. It returns a function that calls bad with its other arguments if ok is false.
func Wants(bad func(key, expected string, related ...string)) func(ok bool, key, expected string, related ...string) {
	return func(ok bool, key, expected string, related ...string) {
		if !ok {
			bad(key, expected, related...)
		}
	}
}
