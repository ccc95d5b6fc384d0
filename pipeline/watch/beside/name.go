package beside

import (
	"path"
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
	file, ok = strings.CutSuffix(rel, suffix)
	switch k {
	case JSON:
		return file, ok && file != "" && !strings.HasSuffix(file, "/")
	case Suricata:
		var number, seconds string
		file, number = cutLast(file)
		file, seconds = cutLast(file)
		return file, ok && isNumber(number) && isNumber(seconds) && isHash(path.Base(file))
	default:
		return "", false
	}
}

// Newest returns the name of a file's newest description among the names in its folder, or "". For
// JSON there is only one possible name; it is returned even if it is not in names.
func (k Kind) Newest(base string, names []string) (newest string) {
	if k == JSON {
		return base + suffix
	}

	var last [2]uint64
	for _, name := range names {
		of, ok := k.DescribedFile(name)
		if !ok || of != base {
			continue
		}
		if at := sequence(name); newest == "" || at[0] > last[0] || at[0] == last[0] && at[1] > last[1] {
			newest = name
			last = at
		}
	}

	return newest
}

// NeedsNames reports whether Newest needs the names in the folder to find the description of a
// file.
func (k Kind) NeedsNames(base string) bool { return k == Suricata && isHash(base) }

// sequence returns the seconds and the number in the name of one of Suricata's descriptions.
func sequence(name string) (at [2]uint64) {
	rest, number := cutLast(strings.TrimSuffix(name, suffix))
	_, seconds := cutLast(rest)
	at[0], _ = strconv.ParseUint(seconds, 10, 64)
	at[1], _ = strconv.ParseUint(number, 10, 64)

	return at
}

// cutLast splits s at its last dot.
func cutLast(s string) (rest, last string) {
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return s, ""
	}

	return s[:dot], s[dot+1:]
}

func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)

	return err == nil && s[0] != '+'
}

func isHash(s string) bool { return len(s) == hashDigits && strings.Trim(s, "0123456789abcdef") == "" }
