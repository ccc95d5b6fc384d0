package wildfiretest

import (
	"crypto/md5" // #nosec G501 -- part of the service's answers
	"crypto/sha256"
	"encoding/hex"
)

// hashOf returns the SHA-256 of a text, in hexadecimal.
func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))

	return hex.EncodeToString(sum[:])
}

// isHash reports whether a text has the form of an MD5 or a SHA-256.
func isHash(hash string) bool {
	if len(hash) != 32 && len(hash) != 64 {
		return false
	}
	for _, r := range hash {
		if !(r >= '0' && r <= '9' || r >= 'a' && r <= 'f' || r >= 'A' && r <= 'F') {
			return false
		}
	}
	return true
}

// urlDigests returns the hashes that identify a link: those of its text. The caller adds http:// to
// a link without a scheme.
func urlDigests(link string) (sha, md string) {
	sum := sha256.Sum256([]byte(link))
	sumMD5 := md5.Sum([]byte(link)) // #nosec G401
	return hex.EncodeToString(sum[:]), hex.EncodeToString(sumMD5[:])
}
