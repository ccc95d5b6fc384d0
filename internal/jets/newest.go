package jets

import (
	"context"
	"encoding/json"
	"errors"
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
	err = Retry(ctx, func(ctx context.Context) error {
		found, err = newest(ctx, js, stream, body)
		return err
	})
	if err != nil {
		return nil, Explain("read stream "+stream, err)
	}

	return found, nil
}

// newest makes one request, and collects the answers up to the server's end marker.
func newest(ctx context.Context, js jetstream.JetStream, stream string, body []byte) ([]*nats.Msg, error) {
	nc := js.Conn()
	inbox := nc.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	subject := APIPrefix(js.Options()) + "DIRECT.GET." + stream
	if err := nc.PublishRequest(subject, inbox, body); err != nil {
		return nil, err
	}

	var found []*nats.Msg
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			if denied := Denied(nc, subject); denied != nil {
				return nil, denied
			}
			return nil, err
		}
		switch status := m.Header.Get("Status"); {
		case status == "204", status == "404": // the end: no messages
			return found, nil
		case status == "503":
			return nil, nats.ErrNoResponders
		case status != "":
			return nil, errors.Join(jetstream.ErrMsgNotFound, fmt.Errorf("the server answers %s %s", status, m.Header.Get("Description")))
		case m.Header.Get(jetstream.SubjectHeader) == "":
			continue
		}
		found = append(found, m)
	}
}
