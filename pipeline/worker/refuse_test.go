package worker

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/poller"
)

// oftenDelivered is a message that JetStream has delivered many times.
type oftenDelivered struct{ jetstream.Msg }

func (oftenDelivered) Metadata() (*jetstream.MsgMetadata, error) {
	return &jetstream.MsgMetadata{NumDelivered: 100}, nil
}

// A job that was redelivered many times, for example because its folder could not be reached, does
// not end at the first read that fails.
func TestOnlyFailedReadsCount(t *testing.T) {
	t.Parallel()
	cfg := pipeline.DefaultConfig()
	s := &shared{Deps: poller.Deps{Settings: pipeline.NewSettings(cfg)}}
	w := &Worker{shared: s, examiner: &examiner{shared: s}}
	d := &delivery{msg: oftenDelivered{}}
	for i := range cfg.MaxAttempts - 1 {
		if r, err := w.retryReading(t.Context(), t.Context(), d, pipeline.Disposition{}); err != nil || r.ack || r.after == 0 {
			t.Fatalf("after %d failed reads: %+v, %v", i+1, r, err)
		}
	}
}
