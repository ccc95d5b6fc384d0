package mail

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-milter"

	"backburn/internal/judge"
	"backburn/pipeline"
)

// maxAddress is the maximum length of an address in bytes.
const maxAddress = 512

// message is a mail in progress.
type message struct {
	id         string // identifies it in jobs, logs and the header
	queueID    string
	sender     string
	recipients []string
	more       int // further recipients, which are only counted
	header     header
	ours       int // headers with our name that the mail already had
	body       *judge.Spool
}

// note stores the queue ID, which the mail server may send with any call.
func (m *message) note(from *milter.Modifier) {
	for _, name := range []string{"i", "{i}"} {
		if id := from.Macros[name]; id != "" {
			m.queueID = short(id)
		}
	}
}

// addressees returns the recipients as one line.
func (m *message) addressees() string {
	text := strings.Join(m.recipients, ",")
	if m.more > 0 {
		text += ",+" + strconv.Itoa(m.more)
	}

	return text
}

// short sanitizes and shortens untrusted text for metadata.
func short(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))

	return pipeline.Cut(s, maxAddress)
}

// reply returns an SMTP response. It never returns one of the library's simple responses: after
// those the library serves the next mail of the connection with a different session.
func reply(format string, a ...any) (milter.Response, error) {
	return milter.NewResponseStr(byte(milter.ActReplyCode), fmt.Sprintf(format, a...)), nil
}
