package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"backburn/wildfire"
)

// question asks what WildFire knows about a sample.
type question struct {
	Key    string `json:"key"`              // the sample's key
	URL    string `json:"url,omitempty"`    // the link, where it is one: those are asked about one by one
	Urgent bool   `json:"urgent,omitempty"` // may be paid from the reserve
}

// answer is what WildFire said.
type answer struct {
	Key     string           `json:"key"`
	Verdict wildfire.Verdict `json:"verdict"`
	MD5     string           `json:"md5,omitempty"`
}

// maxAsk is how many hashes WildFire takes in one call.
const maxAsk = 500

// asker puts a worker's questions to the fleet's batcher and hands the answers out. A
// question is repeated until it is answered, so it survives a batcher that dies and a
// message that gets lost; nothing of this is stored anywhere.
type asker struct {
	q      *Queue
	pauses *pauses
	lease  time.Duration

	mu   sync.Mutex
	open map[string]*pending // by key
	news chan struct{}       // capacity 1: there are questions that were never sent
}

// pending is a question on its way.
type pending struct {
	question
	sent    time.Time // last time; zero: never
	sends   int
	waiters []chan answer // each with room for one
}

func newAsker(q *Queue, p *pauses, lease time.Duration) *asker {
	return &asker{q: q, pauses: p, lease: lease, open: map[string]*pending{}, news: make(chan struct{}, 1)}
}

// errNoAnswers says that queries are paused for so long that a job is not kept in hand.
var errNoAnswers = errors.New("queries are paused")

// ask waits for the answer to a question. It returns errNoAnswers when that would take too long.
func (a *asker) ask(ctx context.Context, qn question) (answer, error) {
	ch := make(chan answer, 1)
	a.mu.Lock()
	p := a.open[qn.Key]
	if p == nil {
		p = &pending{question: qn}
		a.open[qn.Key] = p
	}
	p.waiters = append(p.waiters, ch)
	a.mu.Unlock()
	signal(a.news)
	for {
		_, paused, changed := a.pauses.long(Queries)
		if paused {
			a.forget(qn.Key, ch)
			return answer{}, fmt.Errorf("ask WildFire about %s: %w", qn.Key, errNoAnswers)
		}
		select {
		case ans := <-ch:
			return ans, nil
		case <-changed:
		case <-ctx.Done():
			a.forget(qn.Key, ch)
			return answer{}, fmt.Errorf("ask WildFire about %s: %w", qn.Key, ctx.Err())
		}
	}
}

func (a *asker) forget(key string, ch chan answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.open[key]
	if p == nil {
		return
	}
	for i, w := range p.waiters {
		if w == ch {
			p.waiters = append(p.waiters[:i], p.waiters[i+1:]...)
			break
		}
	}
	if len(p.waiters) == 0 {
		delete(a.open, key)
	}
}

// signal wakes whoever waits on a channel of capacity one.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// run carries questions and answers until ctx ends.
func (a *asker) run(ctx context.Context) error {
	inbox := a.q.nc.NewInbox()
	sub, err := a.q.nc.Subscribe(inbox, a.answered)
	if err != nil {
		return fmt.Errorf("subscribe to answers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	tick := time.NewTicker(askRepeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.news:
		case <-tick.C:
		}
		a.send(inbox)
	}
}

// askRepeat is how soon a question that got no answer is put again at first; it doubles
// to a third of the lease.
const askRepeat = 250 * time.Millisecond

// send puts every question that is new, or due to be repeated, in messages of up to 500.
func (a *asker) send(inbox string) {
	now := time.Now()
	var due []question
	a.mu.Lock()
	for _, p := range a.open {
		wait := min(askRepeat<<min(p.sends, 10), a.lease/3)
		if p.sent.IsZero() || now.Sub(p.sent) >= wait {
			p.sent, p.sends = now, p.sends+1
			due = append(due, p.question)
		}
	}
	a.mu.Unlock()
	for len(due) > 0 {
		n := min(len(due), maxAsk)
		if b, err := json.Marshal(due[:n]); err == nil {
			_ = a.q.nc.PublishRequest(a.q.askSubject(), inbox, b) // the tick repeats what is lost
		}
		due = due[n:]
	}
}

func (a *asker) answered(m *nats.Msg) {
	var answers []answer
	if json.Unmarshal(m.Data, &answers) != nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ans := range answers {
		p := a.open[ans.Key]
		if p == nil {
			continue
		}
		delete(a.open, ans.Key)
		for _, ch := range p.waiters {
			ch <- ans
		}
	}
}
