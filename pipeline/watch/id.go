package watch

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
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
	rootTag   = "000000" // the watched folder itself
)

// newID makes an id for a file found in the folder with the given tag.
func newID(now time.Time, tag string) string {
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

// validID reports whether s has the form of an id made here; other publishers of a source
// name their jobs as they like.
func validID(s string) bool {
	if len(s) != idLen {
		return false
	}
	_, ok1 := decode32(s[:timeLen])
	_, ok2 := decode32(s[timeLen:])
	return ok1 && ok2
}

// idTime is when the id was made, that is, when the file was claimed.
func idTime(id string) time.Time {
	ms, _ := decode32(id[:timeLen])
	return time.UnixMilli(int64(ms)).UTC()
}

// idTag is the tag of the folder in which the file was found.
func idTag(id string) string { return id[idLen-tagLen:] }

// dirTag is the tag that a folder gets unless another one has it already; probe counts the
// tags that were taken.
func dirTag(dir string, probe int) string {
	if dir == "" {
		return rootTag
	}
	sum := sha256.Sum256([]byte(dir))
	var b [tagLen]byte
	encode32(b[:], binary.BigEndian.Uint64(sum[:])+uint64(probe))
	return string(b[:])
}

// nameMax is how many bytes a name may have on every file system in use (NAME_MAX).
const nameMax = 255

// hashedName begins what stands for a name that is too long to be part of another one.
const hashedName = "~"

// claimedName is the name of a claimed file, <id>-<name>. Where that would be too long a
// hash stands for the name, whole is false, and the true name has to be recorded.
func claimedName(id, base string) (name string, whole bool) {
	// Room is left for the suffixes of sidecars and of names that are taken.
	if name = id + "-" + base; len(name) <= nameMax-16 && !strings.HasPrefix(base, hashedName) {
		return name, true
	}
	sum := sha256.Sum256([]byte(base))
	return id + "-" + hashedName + hex.EncodeToString(sum[:16]), false
}

// splitClaimed takes a claimed file's name apart. whole is false where base is a hash.
func splitClaimed(name string) (id, base string, whole, ok bool) {
	if len(name) < idLen+2 || name[idLen] != '-' || !validID(name[:idLen]) {
		return "", "", false, false
	}
	base = name[idLen+1:]
	return name[:idLen], base, !strings.HasPrefix(base, hashedName), true
}
