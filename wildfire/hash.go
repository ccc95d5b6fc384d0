package wildfire

import (
	"errors"
	"fmt"
	"strings"
)

// Lengths of digests in hexadecimal.
const (
	md5Length    = 32
	sha1Length   = 40
	sha256Length = 64
)

const hexDigits = "0123456789abcdef"

// normalHash returns an MD5 or SHA-256 in lower case. It refuses everything else, including a
// SHA-1, so that requests contain only hexadecimal text.
func normalHash(hash string) (string, error) {
	if len(hash) != md5Length && len(hash) != sha256Length {
		return "", fmt.Errorf("hash of %d characters: must be an MD5 (32) or a SHA-256 (64) in hexadecimal", len(hash))
	}

	hash = strings.ToLower(hash)
	if strings.Trim(hash, hexDigits) != "" {
		return "", errors.New("hash: not hexadecimal")
	}

	return hash, nil
}

// invalidArgument returns the error of a call that sent nothing, because its arguments are invalid.
func invalidArgument(op Op, err error) error {
	return &APIError{Op: op, Err: err, kind: ErrInvalidArgument}
}

// parseDigest returns a digest of the given length in lower case, or "" if the text is not one.
// White space around it does not matter.
func parseDigest(text string, length int) string {
	text = strings.ToLower(strings.TrimSpace(text))
	if len(text) != length || strings.Trim(text, hexDigits) != "" {
		return ""
	}

	return text
}
