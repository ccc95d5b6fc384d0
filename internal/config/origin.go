package config

// origin remembers where the values of a configuration came from.
type origin struct {
	file     string
	places   places
	texts    map[string]text   // by key, strings as they were written
	flags    map[string]string // by key, the flag that set it
	problems Problems          // what could not be decoded
}

// text is a string before and after the variables in it were replaced.
type text struct{ written, value string }

// set reports whether the file or a flag sets the key.
func (o *origin) set(key string) bool {
	_, inFile := o.places[key]
	return inFile || o.flags[key] != ""
}

// written returns the text of a string before expansion, where that is what the value came
// from.
func (o *origin) written(key, value string) (string, bool) {
	t, ok := o.texts[key]
	return t.written, ok && t.value == value
}
