package pipeline

// Wants turns the argument of a method Check around. Check calls bad for each key with an invalid
// value; the function that Wants returns states what has to hold.
func Wants(bad func(key, expected string, beside ...string)) func(ok bool, key, expected string, beside ...string) {
	return func(ok bool, key, expected string, beside ...string) {
		if !ok {
			bad(key, expected, beside...)
		}
	}
}
