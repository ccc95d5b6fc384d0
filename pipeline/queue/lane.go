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
	Source   string // as in the subject, even where it cannot be a source
}

// Feed is where a worker fetches jobs from: the consumer of one lane, so that a source which floods
// has only itself to wait for. Where there are very many sources, some of them share a feed.
type Feed struct {
	Name     string
	Priority pipeline.Priority
	Source   string // "" where sources share the feed
	Consumer jetstream.Consumer
}

// So many sources of a lane have a consumer of their own; the others share these. All lanes
// together stay well below what a stream may have.
const (
	ownConsumers    = 200
	sharedConsumers = 16
)

// LaneConsumerPrefix begins the names of a lane's consumers.
func LaneConsumerPrefix(p pipeline.Priority) string { return "lane-" + string(p) + "-" }

// own is the feed of one lane.
func (l Lane) own() Feed {
	name := l.Source
	if !pipeline.ValidSource(name) { // any token of a subject: what is in it will end in DEAD
		sum := sha256.Sum256([]byte(name))
		name = "=" + hex.EncodeToString(sum[:16]) // no valid source has one
	}

	return Feed{Name: LaneConsumerPrefix(l.Priority) + name, Priority: l.Priority, Source: l.Source}
}

// shared is the feed of a lane for which there is no consumer of its own.
func (l Lane) shared() Feed {
	sum := sha256.Sum256([]byte(l.Source))

	return Feed{
		Name:     fmt.Sprintf("%s=shared-%d", LaneConsumerPrefix(l.Priority), sum[0]%sharedConsumers),
		Priority: l.Priority,
	}
}
