package mail

import (
	"crypto/rand"
	"errors"
	"net"
	"net/textproto"
	"strings"

	"github.com/emersion/go-milter"

	"backburn/internal/judge"
)

// session is a mail server's connection, with its current mail. The library calls one method at a
// time.
type session struct {
	milter.NoOpMilter
	s      *Server
	client string // address of the SMTP client
	fields int    // bytes of header fields that the library holds

	mail *message // nil between two mails
}

const (
	maxRecipients = 64
	maxFields     = 4 << 20 // bytes of the header fields of one mail
)

var errFields = errors.New("more header fields than a mail may have")

// reset discards the current mail.
func (n *session) reset() {
	if n.mail != nil && n.mail.body != nil {
		_ = n.mail.body.Close()
	}
	n.mail = nil
}

// current returns the current mail. It starts one if necessary, because some mail servers do not
// announce a new mail.
func (n *session) current() *message {
	if n.mail == nil {
		n.mail = &message{id: "mail-" + rand.Text(), body: judge.NewSpool(n.s.cfg.MaxMessage)}
	}

	return n.mail
}

// Connect records the SMTP client.
func (n *session) Connect(_, _ string, _ uint16, addr net.IP, _ *milter.Modifier) (milter.Response, error) {
	n.client = ""
	if addr != nil {
		n.client = addr.String()
	}

	return milter.RespContinue, nil
}

// MailFrom starts a mail.
func (n *session) MailFrom(from string, m *milter.Modifier) (milter.Response, error) {
	n.reset()
	mail := n.current()
	mail.sender = sanitize(from)
	mail.recordQueueID(m)

	return milter.RespContinue, nil
}

// RcptTo records a recipient.
func (n *session) RcptTo(to string, m *milter.Modifier) (milter.Response, error) {
	mail := n.current()
	if len(mail.recipients) < maxRecipients {
		mail.recipients = append(mail.recipients, sanitize(to))
	} else {
		mail.extraRecipients++
	}
	mail.recordQueueID(m)

	return milter.RespContinue, nil
}

// Header records a field of the mail's header. The library stores all fields until Headers, so
// their size is limited here.
func (n *session) Header(name, value string, m *milter.Modifier) (milter.Response, error) {
	if n.fields += len(name) + len(value) + 64; n.fields > maxFields {
		return nil, errFields
	}
	mail := n.current()
	mail.header.add(name, value)
	if strings.EqualFold(strings.TrimSpace(name), n.s.cfg.Header) {
		mail.existingHeaders++
	}
	mail.recordQueueID(m)

	return milter.RespContinue, nil
}

// BodyChunk stores a piece of the body.
func (n *session) BodyChunk(chunk []byte, m *milter.Modifier) (milter.Response, error) {
	mail := n.current()
	mail.recordQueueID(m)
	_, err := mail.body.Write(chunk)
	switch {
	case errors.Is(err, judge.ErrTooLong):
		defer n.reset()
		n.s.count(outcomeRefused)
		n.s.log(mail).Int64("max_message", n.s.cfg.MaxMessage).Msg("refused a mail: too large")
		return reply("552 5.3.4 Message too large for the filter")
	case err != nil:
		defer n.reset()
		return n.s.tempfail(mail, err)
	}

	return milter.RespContinue, nil
}

// Body is called at the end of a mail, and judges it.
func (n *session) Body(m *milter.Modifier) (milter.Response, error) {
	mail := n.current()
	defer n.reset()
	mail.recordQueueID(m)

	return n.s.decide(mail, n.client, m)
}

// Abort discards the mail.
func (n *session) Abort(*milter.Modifier) error {
	n.reset()
	n.fields = 0

	return nil
}

// Headers is called at the end of the header. It discards the fields that the library holds, which
// would otherwise add up over all mails of the connection.
func (n *session) Headers(all textproto.MIMEHeader, _ *milter.Modifier) (milter.Response, error) {
	clear(all)
	n.fields = 0

	return milter.RespContinue, nil
}
