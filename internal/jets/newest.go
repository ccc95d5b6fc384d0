package jets

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// newestRequest asks for the newest message of each subject that matches (ADR-31 of NATS).
type newestRequest struct {
	Subjects []string `json:"multi_last"`
}

// Newest returns the newest message of each subject of a stream that matches one of the filters, in
// the order of the stream; more than 1,024 subjects are an error. It creates no consumer. It needs
// permission for DIRECT.GET of the stream, which must allow direct reads. On a cluster a replica
// answers, whose data may be slightly old.
func Newest(ctx context.Context, js jetstream.JetStream, stream string, filters ...string) ([]*nats.Msg, error) {
	body, err := json.Marshal(newestRequest{filters})
	if err != nil {
		return nil, err
	}

	var found []*nats.Msg
	subject := APIPrefix(js.Options()) + "DIRECT.GET." + stream
	err = Retry(ctx, func(ctx context.Context) error {
		return unlessDenied(js.Conn(), func() (err error) {
			found, err = newest(ctx, js.Conn(), subject, body)
			return err
		}, subject)
	})
	if err != nil {
		return nil, Explain("read stream "+stream, err)
	}

	return found, nil
}

// newest makes one request, and collects the answers up to the server's end marker.
func newest(ctx context.Context, nc *nats.Conn, subject string, body []byte) ([]*nats.Msg, error) {
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest(subject, inbox, body); err != nil {
		return nil, err
	}

	var found []*nats.Msg
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}

		switch status := m.Header.Get("Status"); {
		case status == "204", status == "404": // the end, or no message at all
			return found, nil
		case status == "503":
			return nil, nats.ErrNoResponders
		case status != "":
			return nil, &Error{Class: Invalid, Err: fmt.Errorf("the server answers %s %s", status, m.Header.Get("Description"))}
		case m.Header.Get(jetstream.SubjectHeader) == "":
			continue
		}
		found = append(found, m)
	}
}
