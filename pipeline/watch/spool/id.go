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

// A job's id has the form of a ULID: 26 characters of Crockford's base 32, the first ten
// the time of the claim in milliseconds. Of the other sixteen, ten are random and the last
// six are the tag of the folder in which the file was found, so that a claimed file's name
// alone is enough to publish it again as it was, and no record has to be written per file.
const (
	idLen     = 26
	timeLen   = 10
	tagLen    = 6
	crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	RootTag   = "000000" // the watched folder itself
)

// NewID makes an id for a file found in the folder with the given tag.
func NewID(now time.Time, tag string) string {
	var random [8]byte
	rand.Read(random[:]) // never fails (crypto/rand)
	var b [idLen]byte
	encode32(b[:timeLen], uint64(now.UnixMilli()))
	encode32(b[timeLen:idLen-tagLen], binary.BigEndian.Uint64(random[:]))
	copy(b[idLen-tagLen:], tag)
	return string(b[:])
}

// encode32 writes the low 5*len(dst) bits of v.
func encode32(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = crockford[v&31]
		v >>= 5
	}
}

// decode32 reads what encode32 wrote.
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

// ValidID reports whether s has the form of an id made here; other publishers of a source
// name their jobs as they like.
func ValidID(s string) bool {
	if len(s) != idLen {
		return false
	}
	_, ok1 := decode32(s[:timeLen])
	_, ok2 := decode32(s[timeLen:])
	return ok1 && ok2
}

// IDTime is when the id was made, that is, when the file was claimed.
func IDTime(id string) time.Time {
	ms, _ := decode32(id[:timeLen])
	return time.UnixMilli(int64(ms)).UTC()
}

// IDTag is the tag of the folder in which the file was found.
func IDTag(id string) string { return id[idLen-tagLen:] }

// dirTag is the tag that a folder gets unless another one has it already; probe counts the
// tags that were taken.
func dirTag(dir string, probe int) string {
	if dir == "" {
		return RootTag
	}
	sum := sha256.Sum256([]byte(dir))
	var b [tagLen]byte
	encode32(b[:], binary.BigEndian.Uint64(sum[:])+uint64(probe))
	return string(b[:])
}

// NameMax is how many bytes a name may have on every file system in use (NAME_MAX).
const NameMax = 255

// HashedName begins what stands for a name that is too long to be part of another one.
const HashedName = "~"

// ClaimedName is the name of a claimed file, <id>-<name>. Where that would be too long a
// hash stands for the name, whole is false, and the true name has to be recorded.
func ClaimedName(id, base string) (name string, whole bool) {
	// Room is left for the suffixes of sidecars and of names that are taken.
	if name = id + "-" + base; len(name) <= NameMax-16 && !strings.HasPrefix(base, HashedName) {
		return name, true
	}

	return hashed(id, base), false
}

// hashed is the name of a claimed file whose own name is too long.
func hashed(id, base string) string {
	sum := sha256.Sum256([]byte(base))

	return id + "-" + HashedName + hex.EncodeToString(sum[:16])
}

// SplitName takes a claimed file's name apart. whole is false where base is a hash.
func SplitName(name string) (id, base string, whole, ok bool) {
	if len(name) < idLen+2 || name[idLen] != '-' || !ValidID(name[:idLen]) {
		return "", "", false, false
	}
	base = name[idLen+1:]
	return name[:idLen], base, !strings.HasPrefix(base, HashedName), true
}

// baseOf is the last component of a relative name.
func baseOf(rel string) string { return path.Base(rel) }

// SidecarSuffix ends the name of a sidecar; what is before is the name of its file.
const SidecarSuffix = ".json"

// maxExt is how long an extension is at most; what is longer is part of the name.
const maxExt = 32

// Numbered returns name with a number before its extension; the zeroth is name itself.
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

// Shorten cuts a name to so many bytes, from the end of what is before its extension.
func Shorten(name string, size int) string {
	over := len(name) - size
	ext := filepath.Ext(name)
	if stem := len(name) - len(ext); over > 0 && over < stem {
		return name[:stem-over] + ext
	}

	return name[:min(len(name), size)]
}

// probePrefix begins the names of files by which it is tried whether renaming works. They
// are empty, and only empty files of such names are passed over.
const probePrefix = ".backburn-probe-"

func probeName(temp string) string { return probePrefix + path.Base(temp) }

// IsProbe reports whether a file of the watched folder is named like one by which it is tried
// whether renaming works.
func IsProbe(rel string) bool {
	id, ok := strings.CutPrefix(path.Base(rel), probePrefix)

	return ok && ValidID(id)
}

// Within reports whether rel, below the watched folder, is the spool or in it.
func Within(rel string) bool { return rel == Dir || strings.HasPrefix(rel, Dir+"/") }

// JobPath is what a job calls the file of this name in Claimed.
func JobPath(name string) string { return Dir + "/" + Claimed + "/" + name }

// DerivedID is the id of a file that is known by a digest of at least 26 bytes.
func DerivedID(digest []byte) string {
	id := make([]byte, idLen)
	for i := range id {
		id[i] = crockford[digest[i]&31]
	}

	return string(id)
}
