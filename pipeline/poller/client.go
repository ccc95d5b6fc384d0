package poller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/pipeline/fleet"
	"backburn/pipeline/queue"
	"backburn/wildfire"
)

// Question asks what WildFire knows about a sample.
type Question struct {
	Key     string `json:"key"`              // the sample's key
	URL     string `json:"url,omitempty"`    // of a link; each link is asked about in a call of its own
	Urgent  bool   `json:"urgent,omitempty"` // the call may use the reserve of the budget
	Recheck bool   `json:"again,omitempty"`  // somebody asked by hand: if the verdict has changed, publish and record the change

	// Sources are those of the jobs that need the answer. Links of different sources take turns.
	Sources []string `json:"sources,omitempty"`
}

// maxSources limits the sources of a question, so that it stays small.
const maxSources = 10

// addSources adds sources that the question does not have yet.
func (qn *Question) addSources(sources []string) {
	for _, s := range sources {
		if len(qn.Sources) < maxSources && !slices.Contains(qn.Sources, s) {
			qn.Sources = append(slices.Clone(qn.Sources), s)
		}
	}
}

// Answer is WildFire's answer to a Question.
type Answer struct {
	Key     string           `json:"key"` // of the Question
	Verdict wildfire.Verdict `json:"verdict"`
	MD5     string           `json:"md5,omitempty"`
}

// Client sends a worker's questions to the fleet's poller and returns the answers. It repeats a
// question while anybody waits for the answer, so the death of a poller or the loss of a message
// does no harm. Questions are only in memory. A Client is safe for concurrent use.
type Client struct {
	q       *queue.Queue
	pauses  *fleet.Pauses
	queries *fleet.Quota // nil: the budget is not known
	lease   time.Duration

	mu   sync.Mutex
	open map[string]*openQuestion // by key; guarded by mu
	wake chan struct{}            // wakes Run: there may be a question to send; capacity 1
}

// openQuestion is a question without an answer yet.
type openQuestion struct {
	Question
	due     time.Time     // when it is sent next; zero: now
	sends   int           // how often it was sent
	waiters []chan Answer // each of capacity 1; closed if the budget of queries is used up
}

// NewClient returns a client; it sends nothing until Run.
// queries may be nil if the caller does not know the budget.
func NewClient(q *queue.Queue, p *fleet.Pauses, queries *fleet.Quota, lease time.Duration) *Client {
	return &Client{
		q:       q,
		pauses:  p,
		queries: queries,
		lease:   lease,
		open:    map[string]*openQuestion{},
		wake:    make(chan struct{}, 1),
	}
}

// ErrQueriesPaused says that queries are paused for longer than a worker holds a job, or that
// today's are used up.
var ErrQueriesPaused = errors.New("queries are paused")

// Ask waits for the answer to a question. It returns ErrQueriesPaused if there will be none for a
// long time.
func (c *Client) Ask(ctx context.Context, qn Question) (Answer, error) {
	ch := make(chan Answer, 1)

	c.mu.Lock()
	question := c.open[qn.Key]
	if question == nil {
		question = &openQuestion{Question: qn}
		c.open[qn.Key] = question
	}
	if qn.Urgent && !question.Urgent || qn.Recheck && !question.Recheck { // send it now, with the new flags
		question.Urgent = question.Urgent || qn.Urgent
		question.Recheck = question.Recheck || qn.Recheck
		question.due = time.Time{}
	}
	question.addSources(qn.Sources)
	question.waiters = append(question.waiters, ch)
	c.mu.Unlock()
	signal(c.wake)

	for {
		_, paused, changed := c.pauses.ActiveLong(pipeline.Queries)
		if paused {
			c.forget(qn.Key, ch)
			return Answer{}, fmt.Errorf("ask WildFire about %s: %w", qn.Key, ErrQueriesPaused)
		}
		select {
		case ans, ok := <-ch:
			if !ok {
				return Answer{}, fmt.Errorf("ask WildFire about %s: %w: today's are used up", qn.Key, ErrQueriesPaused)
			}
			return ans, nil
		case <-changed:
		case <-ctx.Done():
			c.forget(qn.Key, ch)
			return Answer{}, fmt.Errorf("ask WildFire about %s: %w", qn.Key, ctx.Err())
		}
	}
}

// forget removes a caller of Ask that gives up. When nobody else waits for the answer, it removes
// the question, too.
func (c *Client) forget(key string, ch chan Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()

	question := c.open[key]
	if question == nil {
		return
	}
	question.waiters = slices.DeleteFunc(question.waiters, func(w chan Answer) bool { return w == ch })
	if len(question.waiters) == 0 {
		delete(c.open, key)
	}
}

// Run sends questions and receives answers until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	inbox := c.q.Conn().NewInbox()
	sub, err := c.q.Conn().Subscribe(inbox, c.receive)
	if err != nil {
		return fmt.Errorf("subscribe to answers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()

	tick := time.NewTicker(firstRepeat / 2)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.wake:
		case <-tick.C:
		}
		if c.send(inbox) {
			c.giveUp(ctx)
		}
	}
}

// firstRepeat is the delay before an unanswered question is sent for the second time.
const firstRepeat = 500 * time.Millisecond

// untilRepeat returns the delay before a question that was sent this many times is sent again. It
// doubles each time, up to a third of the lease.
func untilRepeat(sends int, lease time.Duration) time.Duration {
	return min(firstRepeat<<min(sends-1, 10), lease/3)
}

// send sends every question that is due, in messages of up to 500 questions. repeated says that it
// has sent one of them before.
func (c *Client) send(inbox string) (repeated bool) {
	now := time.Now()
	var due []Question

	c.mu.Lock()
	for _, question := range c.open {
		if now.Before(question.due) {
			continue
		}
		repeated = repeated || question.sends > 0
		question.sends++
		question.due = now.Add(untilRepeat(question.sends, c.lease))
		due = append(due, question.Question)
	}
	c.mu.Unlock()

	for len(due) > 0 {
		n := min(len(due), wildfire.MaxHashes)
		if b, err := json.Marshal(due[:n]); err == nil {
			_ = c.q.Conn().PublishRequest(c.q.AskSubject(), inbox, b) // a lost message is repeated later
		}
		due = due[n:]
	}

	return repeated
}

// giveUp ends the questions that were sent more than once, if today's budget has no query left for
// their priority, so that workers park their jobs.
func (c *Client) giveUp(ctx context.Context) {
	if c.queries == nil {
		return
	}
	for _, p := range []pipeline.Priority{pipeline.Normal, pipeline.Urgent} {
		if left, err := c.queries.Available(ctx, "", p); left || err != nil {
			return // what is left for normal questions is left for urgent ones, too
		}

		c.mu.Lock()
		for key, question := range c.open {
			if question.sends < 2 || question.Urgent != (p == pipeline.Urgent) {
				continue
			}
			delete(c.open, key)
			for _, ch := range question.waiters {
				close(ch)
			}
		}
		c.mu.Unlock()
	}
}

// receive passes answers to the callers of Ask. It ignores repeated answers.
func (c *Client) receive(m *nats.Msg) {
	var answers []Answer
	if json.Unmarshal(m.Data, &answers) != nil {
		return
	}

	c.mu.Lock()
	defer c.mu.Unlock()

	for _, ans := range answers {
		question := c.open[ans.Key]
		if question == nil {
			continue
		}
		delete(c.open, ans.Key)
		for _, ch := range question.waiters {
			ch <- ans
		}
	}
}
