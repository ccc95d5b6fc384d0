package jets

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Delete removes a message from a stream. It returns nil if the message does not exist.
//
// Unlike the client's own function it keeps the server's error code, which distinguishes a missing
// message from a fault.
func Delete(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) error {
	body, err := json.Marshal(struct {
		Seq     uint64 `json:"seq"`
		NoErase bool   `json:"no_erase"`
	}{sequence, true})
	if err != nil {
		return err
	}

	subject := APIPrefix(js.Options()) + "STREAM.MSG.DELETE." + stream
	err = Retry(ctx, func(ctx context.Context) error {
		var m *nats.Msg
		err := unlessDenied(js.Conn(), func() (err error) {
			m, err = js.Conn().RequestWithContext(ctx, subject, body)
			return err
		}, subject)
		if err != nil {
			return err
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

// APIPrefix returns the subject prefix of requests with these options, including the final dot.
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
