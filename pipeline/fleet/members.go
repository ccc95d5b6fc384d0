package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"backburn/pipeline"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Member is a live worker, as the others see it.
type Member struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Slots   int       `json:"slots"`            // uploads at a time
	Leader  bool      `json:"leader,omitempty"` // it runs the poller
}

// Membership is a worker's place in the fleet: it keeps one key alive under a time-to-live that the
// server judges, and knows who else does. Everything that must end with its worker (a claimed
// sample, leadership, a share of the rate) hangs on that key, so no two clocks are ever
// compared, and an upload costs no renewals of its own. It is safe for concurrent use.
type Membership struct {
	store *Store
	self  Member
	ttl   time.Duration // of the key, renewed at a third
	grace time.Duration // how long a key has to be gone before its worker is

	mu        sync.Mutex
	live      map[string]Member
	absent    map[string]time.Time // members that were looked up in vain, and since when
	renewedAt time.Time
	changed   chan struct{} // closed and replaced when live changes
}

const memberPrefix = "worker."

// Join makes a membership. It is not known to others until Run. lease is how long others wait before
// they take over a dead member's work; slots is how many uploads this one makes at a time.
func Join(store *Store, lease time.Duration, slots int) *Membership {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	// Both together are the lease. The server counts whole seconds.
	ttl := max((lease * 2 / 3).Truncate(time.Second), time.Second)
	return &Membership{
		store:   store,
		ttl:     ttl,
		grace:   lease - ttl,
		self:    Member{ID: newWorkerID(), Host: host, PID: os.Getpid(), Started: time.Now().UTC(), Slots: slots},
		live:    map[string]Member{},
		absent:  map[string]time.Time{},
		changed: make(chan struct{}),
	}
}

// Run keeps the membership until ctx ends, and then gives it up at once.
func (f *Membership) Run(ctx context.Context) error {
	renew := time.NewTicker(f.ttl / 3)
	defer renew.Stop()
	defer f.leave()
	for {
		if err := f.follow(ctx, renew.C); ctx.Err() != nil {
			return nil
		} else if err != nil {
			if Sleep(ctx, time.Second) != nil {
				return nil
			}
		}
	}
}

// follow watches the members and renews our own key, until the watch breaks.
func (f *Membership) follow(ctx context.Context, renew <-chan time.Time) error {
	f.renew(ctx)
	w, err := f.store.kv.Watch(ctx, memberPrefix+">")
	if err != nil {
		return fmt.Errorf("watch the fleet: %w", err)
	}
	defer func() { _ = w.Stop() }()
	there := map[string]bool{} // until all that is there was read
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-renew:
			f.renew(ctx)
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return errors.New("the watch on the fleet ended")
			case e == nil:
				f.keep(there)
				there = nil
			default:
				id := e.Key()[len(memberPrefix):]
				if there != nil {
					there[id] = true
				}
				f.saw(id, e)
			}
		}
	}
}

// keep drops the members that are not there any more: that they left was told while we were
// cut off.
func (f *Membership) keep(there map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.live {
		if !there[id] {
			delete(f.live, id)
			f.absent[id] = time.Now()
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *Membership) saw(id string, e jetstream.KeyValueEntry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, known := f.live[id]
	if e.Operation() != jetstream.KeyValuePut {
		if !known {
			return
		}
		delete(f.live, id)
		f.absent[id] = time.Now()
	} else {
		var m Member
		if json.Unmarshal(e.Value(), &m) != nil {
			return
		}
		delete(f.absent, id)
		if f.live[id] == m {
			return
		}
		f.live[id] = m
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// renew writes our key with its time-to-live. A plain Put or Update would drop it.
func (f *Membership) renew(ctx context.Context) {
	f.mu.Lock()
	self := f.self
	f.mu.Unlock()
	body, err := json.Marshal(self)
	if err != nil {
		return
	}
	m := nats.NewMsg("$KV." + f.store.kv.Bucket() + "." + memberPrefix + self.ID)
	m.Data = body
	actx, cancel := context.WithTimeout(ctx, f.ttl/3)
	defer cancel()
	asked := time.Now()
	if _, err := f.store.js.PublishMsg(actx, m, jetstream.WithMsgTTL(f.ttl)); err != nil {
		return // the next tick tries again; until then we are members for what is left
	}
	f.mu.Lock()
	f.renewedAt = asked
	f.mu.Unlock()
}

// leave gives the membership up, so that nobody has to wait for its end.
func (f *Membership) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = f.store.kv.Purge(ctx, memberPrefix+f.self.ID, jetstream.PurgeTTL(time.Minute))
}

// Sure reports whether our membership is certainly still standing.
func (f *Membership) Sure() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.renewedAt.IsZero() && time.Since(f.renewedAt) < f.ttl*2/3
}

// Gone reports whether a member is away for good: its key has expired, and its process is known
// to be dead or the key has been seen to be absent for a while, since after an outage of the
// server every member is absent for a moment.
func (f *Membership) Gone(ctx context.Context, id string) (bool, error) {
	if id == f.self.ID {
		return false, nil
	}
	if id == "" {
		return true, nil
	}
	_, rev, err := Get[Member](ctx, f.store, memberPrefix+id)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if rev != 0 {
		delete(f.absent, id)
		return false, nil
	}
	if dead(id) {
		return true, nil
	}
	since, seen := f.absent[id]
	if !seen {
		f.absent[id] = time.Now()
		return false, nil
	}
	return time.Since(since) >= f.grace, nil
}

// Members returns the live workers, ourselves included.
func (f *Membership) Members() ([]Member, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Member, 0, len(f.live)+1)
	out = append(out, f.self)
	for id, m := range f.live {
		if id != f.self.ID {
			out = append(out, m)
		}
	}
	return out, f.changed
}

// SetLeader shows on our key whether we lead.
func (f *Membership) SetLeader(v bool) {
	f.mu.Lock()
	f.self.Leader = v
	f.mu.Unlock()
}

// leadership names the worker that runs the poller.
type leadership struct {
	Owner string `json:"owner"`
}

const leaderKey = "leader"

// Lead tries to become the leader: nobody is, we are already, or the one that was is gone. Of a
// dead process the key need not have expired: unlike an upload, its questions leave nothing behind.
func (f *Membership) Lead(ctx context.Context) (bool, error) {
	s, rev, err := Get[leadership](ctx, f.store, leaderKey)
	if err != nil {
		return false, err
	}
	if s.Owner == f.self.ID {
		return true, nil
	}
	if rev != 0 && !dead(s.Owner) {
		if gone, err := f.Gone(ctx, s.Owner); err != nil || !gone {
			return false, err
		}
	}
	_, err = f.store.Save(ctx, leaderKey, leadership{Owner: f.self.ID}, rev)
	if errors.Is(err, pipeline.ErrConflict) {
		return false, nil
	}
	return err == nil, err
}

// StepDown ends our leadership, if it is ours.
func (f *Membership) StepDown(ctx context.Context) {
	s, rev, err := Get[leadership](ctx, f.store, leaderKey)
	if err == nil && rev != 0 && s.Owner == f.self.ID {
		_, _ = f.store.Save(ctx, leaderKey, leadership{}, rev)
	}
}

// Leads reports whether the store says that we lead.
func (f *Membership) Leads(ctx context.Context) (bool, error) {
	s, _, err := Get[leadership](ctx, f.store, leaderKey)

	return s.Owner == f.self.ID, err
}

// ID is this member's id.
func (f *Membership) ID() string { return f.self.ID }

// Live reports whether a member's key was there when we last heard, without asking.
func (f *Membership) Live(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, live := f.live[id]

	return live || id == f.self.ID
}

// Members returns the live workers of a fleet, in the order in which they started.
func Members(ctx context.Context, s *Store) ([]Member, error) {
	keys, err := s.kv.ListKeysFiltered(ctx, memberPrefix+">")
	if err != nil {
		return nil, fmt.Errorf("live workers: %w", err)
	}
	defer func() { _ = keys.Stop() }()

	members := []Member{}
	for key := range keys.Keys() {
		e, err := s.kv.Get(ctx, key)
		var m Member
		if err == nil && json.Unmarshal(e.Value(), &m) == nil {
			members = append(members, m)
		}
	}
	slices.SortFunc(members, func(a, b Member) int { return a.Started.Compare(b.Started) })

	return members, nil
}
