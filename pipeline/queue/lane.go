package queue

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"backburn/pipeline"
)

// Lane is the queue of one source in a lane.
type Lane struct {
	Priority pipeline.Priority
	Source   string // as in the subject, even if it is not a valid source
}

// Feed is the consumer from which a worker fetches jobs. Each lane of a source has its own, so that
// a source that floods its lane delays only itself. With very many sources, some of them share a
// feed.
type Feed struct {
	Name     string
	Priority pipeline.Priority
	Source   string // "" if sources share the feed
	Consumer jetstream.Consumer
}

// The number of sources in a lane that have a consumer of their own, and the number of consumers
// that the others share. All lanes together stay well below the limit of a stream.
const (
	ownConsumers    = 200
	sharedConsumers = 16
)

// LaneConsumerPrefix begins the names of a lane's consumers.
func LaneConsumerPrefix(p pipeline.Priority) string { return "lane-" + string(p) + "-" }

// own returns the feed of one lane.
func (l Lane) own() Feed {
	name := l.Source
	if !pipeline.ValidSource(name) { // any subject token: its jobs will end in DEAD
		sum := sha256.Sum256([]byte(name))
		name = "=" + hex.EncodeToString(sum[:16]) // no valid source contains one
	}

	return Feed{Name: LaneConsumerPrefix(l.Priority) + name, Priority: l.Priority, Source: l.Source}
}

// shared returns the feed of a lane without a consumer of its own.
func (l Lane) shared() Feed {
	sum := sha256.Sum256([]byte(l.Source))

	return Feed{
		Name:     fmt.Sprintf("%s=shared-%d", LaneConsumerPrefix(l.Priority), sum[0]%sharedConsumers),
		Priority: l.Priority,
	}
}
