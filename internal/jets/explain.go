package jets

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Explain wraps err with the operation, its class and the remedy. It returns nil for nil. To an
// error that already has a class it adds only the operation.
func Explain(op string, err error) error {
	if err == nil {
		return nil
	}
	var classified *Error
	if errors.As(err, &classified) {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &Error{Op: op, Class: Classify(err), Err: err}
}

// Remedy returns what an operator can do about an error, as the end of a sentence, or "".
func Remedy(err error) string {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		if text, ok := codeRemedies[api.ErrorCode]; ok {
			return text
		}
	}
	return classRemedies[Classify(err)]
}

var codeRemedies = map[jetstream.ErrorCode]string{
	codeNoStorage: "the streams together reserve more than the NATS server or account may store: " +
		"lower their max_bytes settings, or raise the server's max_file_store or the account's limit",
	codeMaxBytesRequired: "the NATS account requires a max_bytes of every stream: " +
		"set a bound other than 0 for each of them",
	codeMaxStreamBytes: "the NATS account bounds the size of a single stream: lower its max_bytes setting",
	codeAPILevel:       "the NATS server is too old for this version",
	10026:              "the limit of consumers is reached: delete unused consumers, or raise the limit",
	10027:              "the NATS account may have no more streams: raise its limit",
	10074:              "this NATS server is not part of a cluster: set nats.replicas = 1",
	10005:              "the cluster has too few servers with JetStream for nats.replicas",
	10039:              "enable JetStream for this NATS account",
	10076:              "enable JetStream on the NATS server",
	10023:              "the NATS server's disk is full, or its limit is reached: free space or raise max_file_store",
	10002:              "the NATS account's storage is full: raise its limit, or shorten how long data is kept",
	codeSealed: "this cannot be undone: make a backup of the stream and delete it, " +
		"and a running worker creates it again",
}

var classRemedies = map[Class]string{
	Forbidden: "grant the user the permissions that `backburn acl` prints for its role",
	TooOld:    "update the NATS server, or start a worker of this version, which updates the streams",
	TooLarge:  "raise the NATS server's max_payload",
	Full:      "try again later",
}

// Sealed returns the error for a stream that an operator has sealed.
func Sealed() error {
	return &jetstream.APIError{Code: 400, ErrorCode: codeSealed, Description: "the stream is sealed"}
}

// Denied returns an error of class Forbidden if the server has denied this connection a subject
// that contains one of the parts, and nil otherwise. A server does not answer forbidden requests,
// and reports the reason only to the connection, so call Denied after a request timed out. earlier
// is the connection's last error before the request: it says nothing about this request.
func Denied(nc *nats.Conn, earlier error, parts ...string) error {
	last := nc.LastError()
	if !errors.Is(last, nats.ErrPermissionViolation) || last == earlier { //nolint:errorlint // each denial is a new value
		return nil
	}
	m := deniedSubject.FindStringSubmatch(last.Error())
	if m == nil {
		return nil
	}
	for _, part := range parts {
		if strings.Contains(m[1], part) {
			return &Error{Class: Forbidden, Err: last}
		}
	}
	return nil
}

var deniedSubject = regexp.MustCompile(`(?i)(?:publish|subscription) to "(\S+)"`)

func (e *Error) Error() string {
	text := e.Err.Error()
	if e.Op != "" {
		text = e.Op + ": " + text
	}
	if remedy := Remedy(e); remedy != "" {
		text += "; " + remedy
	}
	return text
}
