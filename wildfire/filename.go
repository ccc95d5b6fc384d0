package wildfire

import (
	"path"
	"strings"
)

const (
	maxFilename  = 128 // bytes; the service's own limit is not documented
	maxExtension = 16
	noStem       = "sample"
)

// SafeFilename makes a name fit to be sent: printable ASCII without separators or anything that XML
// or a header gives a meaning to, at most 128 bytes long, never empty. The service echoes the name
// into an XML answer without escaping it, and takes the type of scripts from the extension, which
// is therefore kept.
//
// Only the part behind the last slash or backslash is used. It is idempotent: a safe name is
// returned as it is. Different names may become the same; they are labels, not keys.
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
		stem = noStem
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
