package worker

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
	"backburn/pipeline/queue"
)

// delivery is a job that this worker holds, and the message to acknowledge. After accept it belongs
// to the one goroutine that runs process; leases uses nothing but its message.
type delivery struct {
	queue.Message
	msg     jetstream.Msg
	invalid error // why it is not a valid job; nil for a valid one

	sample   queue.SampleEntry // as it was last read or written
	entry    queue.JobEntry    // the job's record, as it was last read
	contents queue.Contents
	head     headBuffer      // the first bytes of the contents
	ruling   pipeline.Ruling // the policy's ruling on what may be sent to WildFire
	takenAt  time.Time       // when takeUpload last tried to spend an upload for it

	outcome string // its verdict or reason, once it has ended; "repeat" if finish found an earlier final event
}

// result says what to do with a delivery's message: ack it or nak it. It is acked if the job is
// done, is waiting or parked in the ledger, or was refused and kept as a dead letter. Otherwise it
// is nakked, so that it is redelivered after a delay. The zero value says that there is still
// something to decide.
type result struct {
	concluded bool
	ack       bool
	after     time.Duration
}

var ack = result{concluded: true, ack: true}

func retryAfter(d time.Duration) result { return result{concluded: true, after: d} }

// decision is the next step of a job, and what led to it.
type decision struct {
	learned pipeline.News
	step    pipeline.Step
	sample  pipeline.Sample // as it is once the step is done
}
