package mail

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-milter"

	"backburn/internal/judge"
	"backburn/pipeline"
)

// maxText is the maximum length of an address, an ID or another text from a mail, in bytes.
const maxText = 512

// message is a mail in progress.
type message struct {
	id              string // identifies it in jobs, logs and the result header
	queueID         string
	sender          string
	recipients      []string
	extraRecipients int // further recipients, which are only counted
	header          header
	existingHeaders int // headers with the configured name that the mail already had
	body            *judge.Spool
}

// recordQueueID stores the queue ID, which the mail server may send with any call.
func (m *message) recordQueueID(from *milter.Modifier) {
	for _, name := range []string{"i", "{i}"} {
		if id := from.Macros[name]; id != "" {
			m.queueID = sanitize(id)
		}
	}
}

// recipientList returns the recipients as one line.
func (m *message) recipientList() string {
	text := strings.Join(m.recipients, ",")
	if m.extraRecipients > 0 {
		text += ",+" + strconv.Itoa(m.extraRecipients)
	}

	return text
}

// sanitize sanitizes and shortens untrusted text for metadata.
func sanitize(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))

	return pipeline.Cut(s, maxText)
}

// reply returns an SMTP response. It never returns one of the library's simple responses: after
// those the library serves the next mail of the connection with a different session.
func reply(format string, a ...any) (milter.Response, error) {
	return milter.NewResponseStr(byte(milter.ActReplyCode), fmt.Sprintf(format, a...)), nil
}
