package mail

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/emersion/go-milter"

	"backburn/internal/judge"
)

// maxAddress bounds one address, in bytes.
const maxAddress = 512

// message is a mail under way.
type message struct {
	id         string // names it in jobs, logs and the header
	queueID    string
	sender     string
	recipients []string
	more       int // recipients beside those
	header     header
	ours       int // headers with our name that came along
	body       *judge.Spool
}

// note takes over the queue id, which comes with any of the calls.
func (m *message) note(from *milter.Modifier) {
	for _, name := range []string{"i", "{i}"} {
		if id := from.Macros[name]; id != "" {
			m.queueID = short(id)
		}
	}
}

// addressees is the recipients in one line.
func (m *message) addressees() string {
	text := strings.Join(m.recipients, ",")
	if m.more > 0 {
		text += ",+" + strconv.Itoa(m.more)
	}

	return text
}

// short makes text from outside fit for metadata.
func short(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD")))
	if len(s) > maxAddress {
		s = strings.ToValidUTF8(s[:maxAddress], "")
	}

	return s
}

// reply is an answer in SMTP's words. It never is one of the library's simple ones, after which it
// would serve the next mail of the connection with another session.
func reply(format string, a ...any) (milter.Response, error) {
	return milter.NewResponseStr(byte(milter.ActReplyCode), fmt.Sprintf(format, a...)), nil
}
