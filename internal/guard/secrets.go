package guard

import (
	"bytes"
	"regexp"
)

const (
	// MinSecret is the length of the shortest secret that is recognized in contents, in bytes.
	MinSecret = 16

	// longestPart limits the compared part of a secret, in bytes. The end of the secret is
	// compared, because tokens often have the same beginning.
	longestPart = 64
)

// parts finds the secrets in a file, and returns the texts to look for. short reports whether some
// secrets are too short.
func parts(content []byte, holds Holds) (parts [][]byte, short bool) {
	var blocks [][]byte
	blocks, content = privateBlocks(content)
	for _, line := range blocks {
		if len(line) >= MinSecret { // the last line of a key may be short
			parts = append(parts, part(line))
		}
	}

	var lines [][]byte
	switch {
	case holds == Headers:
		lines = secretHeaders(content)
	case holds == Secrets && len(blocks) == 0:
		lines = bytes.Split(content, []byte("\n"))
	}

	for _, line := range lines {
		line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("\xef\xbb\xbf")))
		switch {
		case len(line) >= MinSecret:
			parts = append(parts, part(line))
		case len(line) > 0:
			short = true
		}
	}

	return parts, short
}

func part(secret []byte) []byte { return bytes.Clone(secret[max(0, len(secret)-longestPart):]) }

var (
	blockBegin = regexp.MustCompile(`^-----BEGIN ([A-Z0-9 ]+)-----$`)
	public     = regexp.MustCompile(`CERTIFICATE|PUBLIC|PARAMETERS|CRL`)
)

// privateBlocks returns the lines of private blocks (RFC 7468, and the similar format of NATS), and
// the text outside of all blocks.
func privateBlocks(content []byte) (lines [][]byte, rest []byte) {
	in := ""
	for line := range bytes.Lines(content) {
		line := bytes.TrimSpace(line)
		switch begin := blockBegin.FindSubmatch(line); {
		case begin != nil:
			in = string(begin[1])
		case bytes.HasPrefix(line, []byte("-----")):
			in = ""
		case in == "":
			rest = append(append(rest, line...), '\n')
		case !public.MatchString(in) && !bytes.Contains(line, []byte(":")): // a block may have headers (RFC 1421)
			lines = append(lines, line)
		}
	}

	return lines, rest
}

var authenticates = regexp.MustCompile(`(?i)auth|cookie|key|pass|secret|session|token`)

// secretHeaders returns the last word of each authentication header, recognized by its name. The
// words before it are a scheme, such as "Bearer".
func secretHeaders(content []byte) [][]byte {
	var words [][]byte
	for line := range bytes.Lines(content) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		fields := bytes.Fields(value)
		if ok && len(fields) > 0 && authenticates.Match(name) {
			words = append(words, fields[len(fields)-1])
		}
	}

	return words
}
