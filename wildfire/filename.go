package wildfire

import (
	"path"
	"strings"
)

const (
	maxFilename  = 128 // bytes; the service's limit is not documented
	maxExtension = 16  // bytes
	defaultStem  = "sample"
)

// SafeFilename returns a file name that is safe to send: printable ASCII, at most 128 bytes, never
// empty, without separators and without characters that have a meaning in XML or headers. The
// service copies the name into an XML answer without escaping it. An extension of up to 16 bytes is
// kept, because the service recognizes scripts by it.
//
// Only the part after the last slash or backslash is used. A name that SafeFilename has returned is
// not changed any more. Different names may become equal, so do not use the result as a key.
func SafeFilename(name string) string {
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}

	name = strings.TrimRight(strings.Map(safeRune, strings.TrimSpace(name)), ". ")
	name = strings.TrimLeft(name, " ")

	extension := path.Ext(name)
	if len(extension) > maxExtension {
		extension = ""
	}

	stem := strings.TrimSuffix(name, extension)
	if len(stem)+len(extension) > maxFilename {
		stem = strings.TrimRight(stem[:maxFilename-len(extension)], ". ")
	}
	if strings.Trim(stem, ".") == "" {
		stem = defaultStem
	}

	return stem + extension
}

func safeRune(r rune) rune {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune(" .-_+=()[]{}@,#!~", r):
		return r
	}
	return '_'
}
