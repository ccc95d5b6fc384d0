package jets

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	readBatch    = 1000    // messages of one request
	readMaxBytes = 4 << 20 // of one request; a single larger message is read all the same
)

// Read returns every message of a stream whose subject matches filter (">" for all), in the order of
// the stream: all that was acknowledged before and is still there, and perhaps some of what comes
// meanwhile. from is the first sequence wanted; 0 is the beginning.
// An error ends it.
//
// It makes no consumer, and needs the rights to STREAM.INFO, STREAM.MSG.GET and DIRECT.GET of the
// stream, which must allow direct reads. On a cluster a replica answers, which may be behind; what it lacks is read
// from the leader.
func Read(ctx context.Context, js jetstream.JetStream, stream, filter string, from uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	r := reader{js: js, stream: stream, filter: filter}
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		err := r.read(ctx, max(from, 1), func(m *jetstream.RawStreamMsg) bool { return yield(m, nil) })
		if err != nil {
			yield(nil, Explain("read stream "+stream, err))
		}
	}
}

// Last returns the newest message whose subject matches filter, as the stream's leader has it. The
// error is of class Gone where there is none. The filter must not be ">" alone, which the server
// takes for the last sequence of the stream, removed or not.
func Last(ctx context.Context, js jetstream.JetStream, stream, filter string) (*jetstream.RawStreamMsg, error) {
	r := reader{js: js, stream: stream, filter: filter}
	m, err := r.leader(ctx, getRequest{LastFor: filter})
	if err != nil {
		return nil, Explain("read "+filter+" of stream "+stream, err)
	}
	return m, nil
}

// reader reads one stream by the requests that need no consumer (ADR-31 of NATS).
type reader struct {
	js             jetstream.JetStream
	stream, filter string
}

// getRequest asks for messages of a stream.
type getRequest struct {
	Seq      uint64 `json:"seq,omitempty"`
	NextFor  string `json:"next_by_subj,omitempty"`
	LastFor  string `json:"last_by_subj,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

// read visits messages from a sequence on, until there are none or visit returns false.
func (r reader) read(ctx context.Context, from uint64, visit func(*jetstream.RawStreamMsg) bool) error {
	last, err := r.last(ctx)
	if err != nil {
		return err
	}

	for from <= last {
		batch, err := r.batch(ctx, from)
		if err != nil {
			return err
		}
		if len(batch) == 0 { // the rest was removed meanwhile, or the replica that answered is behind
			next, err := r.leader(ctx, getRequest{Seq: from, NextFor: r.filter})
			if noMessage(err) {
				return nil
			}
			if err != nil {
				return err
			}
			batch = append(batch, next)
		}
		for _, m := range batch {
			if !visit(m) {
				return nil
			}
			from = m.Sequence + 1
		}
	}
	return nil
}

// last is the newest sequence of the stream, as its leader has it.
func (r reader) last(ctx context.Context) (uint64, error) {
	var info *jetstream.StreamInfo
	err := Retry(ctx, func(ctx context.Context) error {
		s, err := r.js.Stream(ctx, r.stream)
		if err != nil {
			return r.denied(err)
		}
		info = s.CachedInfo()
		return nil
	})
	if err != nil {
		return 0, err
	}
	return info.State.LastSeq, nil
}

// noMessage tells a stream that holds nothing of what was asked for from one that is not there.
func noMessage(err error) bool {
	return errors.Is(err, jetstream.ErrMsgNotFound)
}

// batch reads some messages from a sequence on; none where there are none. One that breaks off
// returns what arrived.
func (r reader) batch(ctx context.Context, from uint64) ([]*jetstream.RawStreamMsg, error) {
	body, err := json.Marshal(getRequest{Seq: from, NextFor: r.filter, Batch: readBatch, MaxBytes: readMaxBytes})
	if err != nil {
		return nil, err
	}

	var got []*jetstream.RawStreamMsg
	err = Retry(ctx, func(ctx context.Context) error {
		got, err = r.request(ctx, body)
		if len(got) > 0 {
			return nil
		}
		return r.denied(err)
	})
	return got, err
}

// request asks for a batch once, and collects the answers.
func (r reader) request(ctx context.Context, body []byte) (got []*jetstream.RawStreamMsg, err error) {
	nc := r.js.Conn()
	inbox := nc.NewInbox()
	answers, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answers.Unsubscribe() }()

	if err := nc.PublishRequest(r.api("DIRECT.GET"), inbox, body); err != nil {
		return nil, err
	}
	for {
		m, err := answers.NextMsgWithContext(ctx)
		if err != nil {
			return got, fmt.Errorf("batch: %w", err)
		}
		if end, err := status(m); end || err != nil {
			return got, err
		}
		raw, err := message(m)
		if err != nil {
			return got, err
		}
		got = append(got, raw)
	}
}

// status reads a message without contents that tells how a batch goes on.
func status(m *nats.Msg) (end bool, err error) {
	if m.Header.Get(jetstream.SequenceHeader) != "" {
		return false, nil
	}
	switch m.Header.Get("Status") {
	case "204", "404": // the end of the batch, or nothing that matches
		return true, nil
	case "503":
		return true, nats.ErrNoResponders
	}
	return true, fmt.Errorf("server answered %s %s", m.Header.Get("Status"), m.Header.Get("Description"))
}

// message is a message of a batch as it was stored.
func message(m *nats.Msg) (*jetstream.RawStreamMsg, error) {
	sequence, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("message without its sequence: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return nil, fmt.Errorf("message %d without its time: %w", sequence, err)
	}
	return &jetstream.RawStreamMsg{
		Subject:  m.Header.Get(jetstream.SubjectHeader),
		Sequence: sequence,
		Header:   m.Header,
		Data:     m.Data,
		Time:     at,
	}, nil
}

// leader asks the stream's leader for one message.
func (r reader) leader(ctx context.Context, request getRequest) (*jetstream.RawStreamMsg, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}

	var raw *jetstream.RawStreamMsg
	err = Retry(ctx, func(ctx context.Context) error {
		m, err := r.js.Conn().RequestWithContext(ctx, r.api("STREAM.MSG.GET"), body)
		if err != nil {
			return r.denied(err)
		}
		raw, err = stored(m)
		return err
	})
	return raw, err
}

// Delete removes a message from a stream. One that is not there is removed already.
//
// Unlike the client's own function it keeps the server's error code, without which "not there" can't
// be told from a fault.
func Delete(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) error {
	r := reader{js: js, stream: stream}
	body, err := json.Marshal(struct {
		Seq     uint64 `json:"seq"`
		NoErase bool   `json:"no_erase"`
	}{sequence, true})
	if err != nil {
		return err
	}

	err = Retry(ctx, func(ctx context.Context) error {
		m, err := js.Conn().RequestWithContext(ctx, r.api("STREAM.MSG.DELETE"), body)
		if err != nil {
			return r.denied(err)
		}
		var answer struct {
			Error *jetstream.APIError `json:"error"`
		}
		if err := json.Unmarshal(m.Data, &answer); err != nil {
			return fmt.Errorf("%w: %w", jetstream.ErrInvalidJetStreamResponse, err)
		}
		if e := answer.Error; e != nil && (classifyAPI(e) != Gone || e.ErrorCode == jetstream.JSErrCodeStreamNotFound) {
			return e
		}
		return nil
	})
	return Explain(fmt.Sprintf("remove message %d of stream %s", sequence, stream), err)
}

// stored reads the answer to a request for one message.
func stored(m *nats.Msg) (*jetstream.RawStreamMsg, error) {
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject string    `json:"subject"`
			Seq     uint64    `json:"seq"`
			Header  []byte    `json:"hdrs"`
			Data    []byte    `json:"data"`
			Time    time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return nil, fmt.Errorf("%w: %w", jetstream.ErrInvalidJetStreamResponse, err)
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	if answer.Message == nil {
		return nil, jetstream.ErrInvalidJetStreamResponse
	}

	raw := &jetstream.RawStreamMsg{
		Subject:  answer.Message.Subject,
		Sequence: answer.Message.Seq,
		Data:     answer.Message.Data,
		Time:     answer.Message.Time,
	}
	if len(answer.Message.Header) > 0 {
		header, err := nats.DecodeHeadersMsg(answer.Message.Header)
		if err != nil {
			return nil, fmt.Errorf("headers of message %d: %w", raw.Sequence, err)
		}
		raw.Header = header
	}
	return raw, nil
}

func (r reader) api(request string) string {
	return APIPrefix(r.js.Options()) + request + "." + r.stream
}

func (r reader) denied(err error) error { return deniedOr(r.js.Conn(), err, "."+r.stream) }

// APIPrefix is where a JetStream with these options makes its requests, with the last dot.
func APIPrefix(o jetstream.JetStreamOptions) string {
	switch {
	case o.APIPrefix != "":
		if o.APIPrefix[len(o.APIPrefix)-1] == '.' {
			return o.APIPrefix
		}
		return o.APIPrefix + "."
	case o.Domain != "":
		return "$JS." + o.Domain + ".API."
	}
	return jetstream.DefaultAPIPrefix
}
