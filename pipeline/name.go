package pipeline

import (
	"path"
	"strings"
	"unicode/utf8"
)

// Bounds of the names that CleanName returns, in bytes. The names in a job may be longer; see
// MaxNameBytes.
const (
	maxCleanNameBytes = 255
	maxExtensionBytes = 32
)

// EncodeName returns a file name as text for JSON. If the name is not UTF-8, b64 has its bytes;
// otherwise b64 is nil.
func EncodeName(raw string) (text string, b64 []byte) {
	if utf8.ValidString(raw) {
		return raw, nil
	}
	return strings.ToValidUTF8(raw, "\uFFFD"), []byte(raw)
}

// BaseName returns the last element of a path, after the last slash or backslash.
func BaseName(s string) string { return s[strings.LastIndexAny(s, `/\`)+1:] }

// CleanName turns an untrusted base name, in UTF-8, into a file name of at most 255 bytes. It
// removes ASCII control characters and surrounding white space. If the name is too long, it removes
// the end of the name but keeps the extension, unless that has more than 32 bytes. It returns "" if
// nothing is left, and for the folder names "." and "..".
func CleanName(base string) string {
	s := strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, base))
	if s == "." || s == ".." {
		return ""
	}
	if len(s) <= maxCleanNameBytes {
		return s
	}

	extension := path.Ext(s)
	if len(extension) > maxExtensionBytes {
		extension = ""
	}

	return Cut(s, maxCleanNameBytes-len(extension)) + extension
}

// Cut returns the beginning of a text, at most limit bytes, without splitting a character.
func Cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}

	return s[:limit]
}
