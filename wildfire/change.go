package wildfire

import (
	"context"
	"errors"
	"regexp"
	"strconv"
)

// maxComment is the documented length of a comment, in bytes.
const maxComment = 2048

// RequestVerdictChange asks the vendor to review the verdict of a sample. The vendor replies to the
// e-mail address. If the sample already has the requested verdict, the error matches
// ErrSameVerdict. The WF-500 does not support this call.
func (c *Client) RequestVerdictChange(ctx context.Context, sha256 string, verdict Verdict, email, comment string) error {
	if email == "" {
		return invalidArgument(OpChangeRequest, errors.New("e-mail address is empty"))
	}
	_, err := c.postVerdictChange(ctx, OpChangeRequest, sha256, verdict, comment, field{"email", email})
	return err
}

// ChangeLocalVerdict sets the verdict of a sample on a WF-500. It returns the new verdict in the
// appliance's answer, or false if the answer has none.
func (c *Client) ChangeLocalVerdict(ctx context.Context, sha256 string, verdict Verdict, comment string) (Verdict, bool, error) {
	text, err := c.postVerdictChange(ctx, OpLocalVerdictChange, sha256, verdict, comment)
	if err != nil {
		return 0, false, err
	}
	verdict, ok := parseNewVerdict(text)

	return verdict, ok, nil
}

// postVerdictChange sends a new verdict, and returns the text of the answer's body element, if
// there is one. The cloud's answer is not documented, so any WildFire document except an error is a
// success.
func (c *Client) postVerdictChange(ctx context.Context, op Op, sha256 string, verdict Verdict, comment string, more ...field) (string, error) {
	hash, err := normalHash(sha256)
	switch {
	case err != nil:
		return "", invalidArgument(op, err)
	case len(hash) != sha256Length:
		return "", invalidArgument(op, errors.New("an MD5 is ambiguous: use the SHA-256"))
	case len(comment) > maxComment:
		return "", invalidArgument(op, errors.New("comment is longer than 2048 bytes"))
	}

	fields := []field{{"hash", hash}, {"verdict", strconv.Itoa(int(verdict))}, {"comment", comment}}
	call := apiCall{op: op, build: form(op, append(fields, more...)...)}

	return fetch(ctx, c, call, maxAnswer, func(body []byte) (string, error) {
		root, err := wildfireRoot(body, maxTags)
		if err != nil {
			return "", err
		}

		return childText(root, "body"), nil
	})
}

var newVerdict = regexp.MustCompile(`new verdict:\s*(-?[0-9]+)`)

// parseNewVerdict parses "new verdict:<n>" in the text of an answer.
func parseNewVerdict(text string) (Verdict, bool) {
	found := newVerdict.FindStringSubmatch(text)
	if found == nil {
		return 0, false
	}
	code, err := strconv.ParseInt(found[1], 10, 32)

	return Verdict(code), err == nil
}
