package spool

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A job ID has the form of a ULID: 26 characters of Crockford's base 32. The first ten encode the
// time of the claim in milliseconds. Of the other sixteen, ten are random and the last six are the
// tag of the folder in which the file was found. The name of a claimed file is therefore enough to
// publish it again, without a separate record for each file. The job ID of a file that stays in
// place looks the same, but encodes neither a time nor a tag: it comes from [DerivedID].
const (
	idLen     = 26
	timeLen   = 10
	tagLen    = 6
	crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	RootTag   = "000000" // the tag of the watched folder itself
)

// NewID returns a new ID for a file in the folder with the given tag.
func NewID(now time.Time, tag string) string {
	var random [8]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	var b [idLen]byte
	encode32(b[:timeLen], uint64(now.UnixMilli()))
	encode32(b[timeLen:idLen-tagLen], binary.BigEndian.Uint64(random[:]))
	copy(b[idLen-tagLen:], tag)

	return string(b[:])
}

// encode32 writes the low 5*len(dst) bits of v in base 32.
func encode32(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = crockford[v&31]
		v >>= 5
	}
}

// decode32 is the reverse of encode32.
func decode32(s string) (v uint64, ok bool) {
	for i := range len(s) {
		d := strings.IndexByte(crockford, s[i])
		if d < 0 {
			return 0, false
		}
		v = v<<5 | uint64(d)
	}

	return v, true
}

// ValidID reports whether s has the form of an ID made by NewID. Other publishers may choose other
// forms.
func ValidID(s string) bool {
	if len(s) != idLen {
		return false
	}
	_, ok1 := decode32(s[:timeLen])
	_, ok2 := decode32(s[timeLen:])

	return ok1 && ok2
}

// IDTime returns when NewID made the ID, which is when the file was claimed.
func IDTime(id string) time.Time {
	ms, _ := decode32(id[:timeLen])
	return time.UnixMilli(int64(ms)).UTC()
}

// LeftoverAge is the age at which an entry counts as left behind by a crash.
const LeftoverAge = time.Hour

// IsLeftover reports whether an ID is so old that a temporary file named after it was left by a
// crash.
func IsLeftover(id string) bool { return ValidID(id) && time.Since(IDTime(id)) > LeftoverAge }

// IDTag returns the tag that NewID was given: the one of the folder in which the file was found.
func IDTag(id string) string { return id[idLen-tagLen:] }

// dirTag returns the tag for a folder. attempt is the number of tags that were tried before and
// belong to other folders.
func dirTag(dir string, attempt int) string {
	sum := sha256.Sum256([]byte(dir))
	var b [tagLen]byte
	encode32(b[:], binary.BigEndian.Uint64(sum[:])+uint64(attempt))

	return string(b[:])
}

// NameMax is the maximum length of a file name on common file systems, in bytes (NAME_MAX).
const NameMax = 255

// HashedPrefix begins a hash that replaces the name of a file. Names that begin with it themselves
// are always replaced.
const HashedPrefix = "~"

// ClaimedName returns the name of a claimed file, <id>-<name>. If that would be too long, or if the
// name begins with HashedPrefix, a hash replaces the name and whole is false; the real name must
// then be recorded.
func ClaimedName(id, base string) (name string, whole bool) {
	// Leave room for sidecar suffixes and numbers.
	if name = id + "-" + base; len(name) <= NameMax-16 && !strings.HasPrefix(base, HashedPrefix) {
		return name, true
	}

	return hashedName(id, base), false
}

// hashedName returns the name of a claimed file with a hash in place of its own name.
func hashedName(id, base string) string {
	sum := sha256.Sum256([]byte(base))

	return id + "-" + HashedPrefix + hex.EncodeToString(sum[:16])
}

// SplitName splits the name of a claimed file. whole is false if base is a hash.
func SplitName(name string) (id, base string, whole, ok bool) {
	if len(name) < idLen+2 || name[idLen] != '-' || !ValidID(name[:idLen]) {
		return "", "", false, false
	}
	base = name[idLen+1:]

	return name[:idLen], base, !strings.HasPrefix(base, HashedPrefix), true
}

// SidecarSuffix is appended to a file's name to form the name of its sidecar.
const SidecarSuffix = ".json"

// maxExt is the maximum length of an extension; a longer one counts as part of the name.
const maxExt = 32

// Numbered inserts a number before the extension of name; 0 leaves it unchanged. The part before
// the number is shortened if there would be no room for SidecarSuffix.
func Numbered(name string, n int) string {
	if n == 0 {
		return name
	}

	ext := filepath.Ext(name)
	if ext == name || len(ext) > maxExt { // ".profile"
		ext = ""
	}
	suffix := "." + strconv.Itoa(n) + ext
	stem := strings.TrimSuffix(name, ext)

	return stem[:min(len(stem), max(NameMax-len(SidecarSuffix)-len(suffix), 1))] + suffix
}

// Shorten shortens a name to size bytes by cutting the part before its extension.
func Shorten(name string, size int) string {
	over := len(name) - size
	ext := filepath.Ext(name)
	if stem := len(name) - len(ext); over > 0 && over < stem {
		return name[:stem-over] + ext
	}

	return name[:min(len(name), size)]
}

// probePrefix begins the names of the empty files with which renaming is tested. Only empty files
// with such names are ignored.
const probePrefix = ".backburn-probe-"

// IsProbe reports whether a file in the watched folder has the name of a renaming test.
func IsProbe(rel string) bool {
	id, ok := strings.CutPrefix(path.Base(rel), probePrefix)

	return ok && ValidID(id)
}

// Within reports whether rel, relative to the watched folder, is the spool or inside it.
func Within(rel string) bool { return rel == Dir || strings.HasPrefix(rel, Dir+"/") }

// JobPath returns the path that jobs use for the file with this name in Claimed.
func JobPath(name string) string { return Dir + "/" + Claimed + "/" + name }

// DerivedID returns an ID derived from a digest of at least 26 bytes.
func DerivedID(digest []byte) string {
	id := make([]byte, idLen)
	for i := range id {
		id[i] = crockford[digest[i]&31]
	}

	return string(id)
}
