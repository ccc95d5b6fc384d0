package wildfire

import (
	"errors"
	"fmt"
	"strings"
)

const (
	md5Length    = 32
	sha256Length = 64
)

// normalHash returns an MD5 or SHA-256 in lower case. It refuses everything else, including a
// SHA-1, so that requests contain only hexadecimal text.
func normalHash(hash string) (string, error) {
	if len(hash) != md5Length && len(hash) != sha256Length {
		return "", fmt.Errorf("hash of %d characters: must be an MD5 (32) or a SHA-256 (64) in hexadecimal", len(hash))
	}

	lower := true
	for i := range len(hash) {
		switch b := hash[i]; {
		case b >= '0' && b <= '9', b >= 'a' && b <= 'f':
		case b >= 'A' && b <= 'F':
			lower = false
		default:
			return "", errors.New("hash: not hexadecimal")
		}
	}

	if lower {
		return hash, nil
	}

	return strings.ToLower(hash), nil
}

// invalidArgument returns the error of a call whose arguments are invalid, so that nothing is sent.
func invalidArgument(op Op, err error) error {
	return &APIError{Op: op, Err: err, kind: ErrInvalidArgument}
}

// hashOf returns a digest of the given length in lower case, or "" if the text is not one.
func hashOf(text string, length int) string {
	if len(text) != length {
		return ""
	}
	hash, err := normalHash(text)
	if err != nil {
		return ""
	}

	return hash
}

// sha1Of returns a SHA-1 in lower case, or "" if the text is not one.
func sha1Of(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) != sha1Length || strings.Trim(text, "0123456789abcdef") != "" {
		return ""
	}

	return strings.Clone(text)
}

const sha1Length = 40
