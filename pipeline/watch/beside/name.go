package beside

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// Kind is the format of descriptions.
type Kind string

// The kinds. With None, descriptions are not read.
const (
	None     Kind = ""
	JSON     Kind = "json"
	Suricata Kind = "suricata"
)

// suffix ends the name of each description.
const suffix = ".json"

// hashDigits is the number of hexadecimal digits in a SHA-256.
const hashDigits = 64

// DescribedFile returns the path of the file that a description is about, derived from the
// description's path rel. ok is false if rel is not the name of a description.
func (k Kind) DescribedFile(rel string) (file string, ok bool) {
	switch k {
	case JSON:
		file, ok = strings.CutSuffix(rel, suffix)
		return file, ok && file != "" && !strings.HasSuffix(file, "/")
	case Suricata:
		file, _, ok = splitSuricata(rel)
		return file, ok
	default:
		return "", false
	}
}

// Newest returns the name of a file's newest description among the names in its folder, or "". For
// JSON there is only one possible name; it is returned even if it is not in names. k must not be
// None.
func (k Kind) Newest(base string, names []string) (newest string) {
	if k == JSON {
		return base + suffix
	}

	var last [2]uint64
	for _, name := range names {
		of, at, ok := splitSuricata(name)
		if ok && of == base && (newest == "" || slices.Compare(at[:], last[:]) > 0) {
			newest = name
			last = at
		}
	}

	return newest
}

// NeedsNames reports whether Newest needs the names in the folder to find the description of a
// file.
func (k Kind) NeedsNames(base string) bool { return k == Suricata && isHash(base) }

// splitSuricata splits the name of one of Suricata's descriptions into the name of its file, and
// the seconds and the number.
func splitSuricata(rel string) (file string, at [2]uint64, ok bool) {
	file, ok = strings.CutSuffix(rel, suffix)
	for i := 1; ok && i >= 0; i-- {
		dot := strings.LastIndexByte(file, '.')
		if dot < 0 {
			return "", at, false
		}
		var err error
		at[i], err = strconv.ParseUint(file[dot+1:], 10, 64)
		file, ok = file[:dot], err == nil
	}

	return file, at, ok && isHash(path.Base(file))
}

func isHash(s string) bool { return len(s) == hashDigits && strings.Trim(s, "0123456789abcdef") == "" }
