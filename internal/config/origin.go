package config

// origin records where the values of a configuration come from.
type origin struct {
	file     string
	places   places
	texts    map[string]text   // by key: strings before and after expansion
	flags    map[string]string // by key: the flag that set it
	problems Problems          // problems of decoding
}

// text is a string before and after the expansion of variables.
type text struct{ written, value string }

// set reports whether the file or a flag sets the key.
func (o *origin) set(key string) bool {
	_, inFile := o.places[key]
	return inFile || o.flags[key] != ""
}

// written returns the text of a string before expansion, if the value comes from it.
func (o *origin) written(key, value string) (string, bool) {
	t, ok := o.texts[key]
	return t.written, ok && t.value == value
}
