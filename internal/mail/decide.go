package mail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/emersion/go-milter"
	"github.com/rs/zerolog"

	"backburn/internal/judge"
	"backburn/pipeline"
)

// submission is a submitted attachment.
type submission struct {
	job     pipeline.Job
	outcome judge.Outcome
}

// summary is the result for a whole mail.
type summary struct {
	attachments    int
	malicious      int
	pending        int    // have no verdict yet
	unjudged       int    // will never have a verdict, such as types that WildFire does not analyze
	firstMalicious string // the first malicious verdict
}

func (s *Server) count(outcome string) { s.mails.WithLabelValues(outcome).Inc() }

func (s *Server) log(m *message) *zerolog.Event {
	return s.deps.Log.Info().Str("mail", m.id).Str("queue_id", m.queueID)
}

// decide returns the response for a mail.
func (s *Server) decide(m *message, client string, to *milter.Modifier) (milter.Response, error) {
	latest := time.Now().Add(maxHold)
	ctx, cancel := context.WithDeadline(s.Life, latest)
	defer cancel()
	submissions, err := s.submitAll(ctx, m, client)
	switch {
	case errors.Is(err, errTooManyAttachments):
		s.count(outcomeRefused)
		s.log(m).Int("max_parts", s.cfg.MaxParts).Msg("refused a mail: too many attachments")
		return reply("554 5.6.0 More than %d attachments", s.cfg.MaxParts)
	case errors.Is(err, errTooManyParts):
		s.count(outcomeRefused)
		s.log(m).Msg("refused a mail: too many parts")
		return reply("554 5.6.0 Too many parts (%s)", m.id)
	case err != nil:
		return s.tempfail(m, err)
	}
	s.await(submissions, latest)

	sum := summarize(submissions)
	outcome := sum.outcome()
	s.log(m).Str("outcome", outcome).Int("attachments", sum.attachments).Int("malicious", sum.malicious).Int("pending", sum.pending).Int("unjudged", sum.unjudged).Msg("judged a mail")
	switch {
	case outcome == outcomeMalicious && s.cfg.Malicious == MaliciousReject:
		s.count(outcome)
		return reply("550 5.7.1 Attachment refused: %s (%s)", sum.firstMalicious, m.id)
	case outcome == outcomeUnknown && sum.pending > 0 && s.cfg.Unknown == UnknownTempfail:
		s.count(outcome)
		return reply("451 4.7.1 No verdict on an attachment yet, try again later (%s)", m.id)
	}
	if err := s.addResultHeader(m, sum, to); err != nil {
		return nil, err // the connection has ended
	}
	s.count(outcome)

	return milter.RespContinue, nil // at the end of a mail, this lets it pass
}

// tempfail refuses a mail temporarily.
func (s *Server) tempfail(m *message, err error) (milter.Response, error) {
	s.count(outcomeError)
	s.deps.Log.Error().Err(err).Str("mail", m.id).Str("queue_id", m.queueID).Msg("cannot submit the attachments of a mail; refusing it temporarily")

	return reply("451 4.3.0 The filter cannot take this mail now, try again later (%s)", m.id)
}

// errTooManyAttachments means that a mail exceeds Config.MaxParts.
var errTooManyAttachments = errors.New("too many attachments")

// submitAll submits all attachments, one after the other, until ctx ends.
func (s *Server) submitAll(ctx context.Context, m *message, client string) ([]*submission, error) {
	var submissions []*submission
	err := walk(&m.header, m.body.Reader(), s.cfg.MaxMessage, func(a attachment) error {
		spool := judge.NewSpool(s.cfg.MaxMessage)
		defer spool.Close()
		if _, err := io.Copy(spool, a.body); err != nil || spool.Size() == 0 {
			return err
		}
		if len(submissions) == s.cfg.MaxParts {
			return errTooManyAttachments
		}

		p := &submission{job: s.job(m, client, a, len(submissions)+1)}
		contents := spool.Contents()
		known, ok, err := s.deps.Judge.Known(ctx, contents.SHA256)
		if err == nil {
			err = s.deps.Judge.Submit(ctx, p.job, contents)
		}
		if err != nil {
			return fmt.Errorf("part %s: %w", a.number, err)
		}
		if p.outcome = known; !ok {
			p.outcome.Reason = judge.Pending
		}
		submissions = append(submissions, p)

		return nil
	})

	return submissions, err
}

// job returns the job of an attachment.
func (s *Server) job(m *message, client string, a attachment, n int) pipeline.Job {
	j := pipeline.Job{
		ID:         m.id + "-" + strconv.Itoa(n),
		Source:     s.cfg.Source,
		Priority:   s.cfg.Priority,
		Metadata:   map[string]string{},
		ReceivedAt: time.Now().UTC(),
	}
	j.Filename, j.FilenameB64 = pipeline.EncodeName(a.name)
	remaining := pipeline.MaxMetadataBytes / 2
	for _, pair := range [][2]string{
		{"mail", m.id},
		{"part", a.number},
		{"queue-id", m.queueID},
		{"message-id", sanitize(m.header.get("message-id"))},
		{"client", client},
		{"sender", m.sender},
		{"recipients", m.recipientList()},
	} {
		key, value := pair[0], pair[1]
		if len(value) > remaining {
			value = sanitize(value)
		}
		if value != "" {
			j.Metadata[key] = value
			remaining -= len(value)
		}
	}

	return j
}

// await waits for verdicts that are not known yet, for Config.Wait and no longer than until latest.
func (s *Server) await(submissions []*submission, latest time.Time) {
	ctx, cancel := context.WithDeadline(s.Ending, latest)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, s.cfg.Wait)
	defer cancel()
	var all sync.WaitGroup
	for _, p := range submissions {
		if !p.outcome.Decided {
			all.Go(func() { p.outcome = s.deps.Judge.Wait(ctx, p.job.Ref()) })
		}
	}
	all.Wait()
}

func summarize(submissions []*submission) summary {
	sum := summary{attachments: len(submissions)}
	for _, p := range submissions {
		switch {
		case p.outcome.Malicious():
			if sum.malicious++; sum.malicious == 1 {
				sum.firstMalicious = p.outcome.String()
			}
		case p.outcome.Decided:
		case p.outcome.Reason == judge.Pending:
			sum.pending++
		default:
			sum.unjudged++
		}
	}

	return sum
}

func (s summary) outcome() string {
	switch {
	case s.malicious > 0:
		return outcomeMalicious
	case s.pending+s.unjudged > 0:
		return outcomeUnknown
	case s.attachments > 0:
		return outcomeClean
	}

	return outcomeNone
}

// addResultHeader sets the result header, replacing any that the mail already has, and quarantines
// a malicious mail if configured.
func (s *Server) addResultHeader(m *message, sum summary, to *milter.Modifier) error {
	for i := m.existingHeaders; i > 0; i-- { // backwards, because removing one renumbers those after it
		if err := to.ChangeHeader(i, s.cfg.Header, ""); err != nil {
			return err
		}
	}
	value := fmt.Sprintf("%s; attachments=%d; malicious=%d; pending=%d; unjudged=%d; id=%s",
		sum.outcome(), sum.attachments, sum.malicious, sum.pending, sum.unjudged, m.id)
	if sum.firstMalicious != "" {
		value += "; verdict=" + sum.firstMalicious
	}
	if err := to.AddHeader(s.cfg.Header, value); err != nil {
		return err
	}
	if sum.malicious > 0 && s.cfg.Malicious == MaliciousQuarantine {
		return to.Quarantine("Backburn: " + sum.firstMalicious + " (" + m.id + ")")
	}

	return nil
}
