package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backburn/internal/health"
	"backburn/internal/jets"
	"backburn/pipeline"
)

// Process is what Join has to know about this process. The other processes see it as a Member.
type Process struct {
	Role    string // one of Roles
	Version string
	Config  string // fingerprint of its configuration
	Slots   int    // concurrent uploads; 0 for members that do not upload
}

// Roles lists the roles of a process.
func Roles() []string { return []string{"run", "worker", "watcher", "api", "clamd", "mail", "sink"} }

// keyPrefix is the prefix of a role's keys in the store. NATS permissions depend on it: only
// workers may write the keys of workers, because a sample's claim is valid as long as its worker's
// key exists.
func keyPrefix(role string) string {
	switch role {
	case "watcher":
		return watcherPrefix
	case "api", "clamd", "mail", "sink":
		return apiPrefix
	}

	return workerPrefix
}

// The prefixes of members' keys in the store. NATS permissions use them.
const (
	workerPrefix  = "worker"
	watcherPrefix = "watcher"
	apiPrefix     = "api"
)

// Member is a process of the fleet, as the others see it.
type Member struct {
	ID      string    `json:"id"`
	Role    string    `json:"role"`
	Host    string    `json:"host"`
	PID     int       `json:"pid"`
	Version string    `json:"version,omitempty"`
	Config  string    `json:"config,omitempty"` // fingerprint of its configuration
	Started time.Time `json:"started"`
	Slots   int       `json:"slots,omitempty"`  // concurrent uploads
	Leader  bool      `json:"leader,omitempty"` // it runs the poller

	State  health.State    `json:"state"`            // the worst state of its parts
	Unwell []health.Status `json:"unwell,omitempty"` // its parts that are not ok, the worst first

	// Siblings has the IDs of the processes that run beside this member: they have the same role on
	// the same host, and this member saw them alive after its own start. If one of them dies, this
	// member does not count as the replacement of the dead one (see replaces).
	Siblings []string `json:"beside,omitempty"`

	Duties // as they were when the member last wrote this data

	// Gone says that the member's key expired, and that no other process has replaced the member:
	// the process died, or cannot reach the server. Membership.Gone answers another question:
	// whether others may take over the work of a worker.
	Gone bool `json:"gone,omitempty"`

	Seen time.Time `json:"seen,omitzero"` // if Gone: when the member last wrote its last-seen record

	keySeq string // the sequence number of the last write of its key
}

// Works reports whether a member is alive and may upload.
func (m Member) Works() bool { return !m.Gone && m.Slots > 0 }

// Membership is a process's place in the fleet. It writes the process's key again and again,
// because the server removes the key after its time-to-live. In a worker it also knows the other
// live workers. Whatever must end with its worker (a claimed sample, leadership, a share of the
// rate) depends on that key: while the key exists, no other worker takes over the work. There is
// one exception: if the leader's process is known to be dead, another worker may lead at once
// (TryLead). Because of these keys, no clocks of different machines are compared to find out who is
// alive, and an upload needs no key of its own. A Membership is safe for concurrent use.
type Membership struct {
	store  *Store
	prefix string
	ttl    time.Duration // of the key, which is renewed after a third of it
	grace  time.Duration // how long a key must be absent before its worker counts as gone

	// Only Run uses these.
	purgeDone bool              // purgeReplaced has finished
	firstSeqs map[string]string // Member.keySeq of the others when this process first saw them, by ID

	mu            sync.Mutex
	self          Member
	parts         func() []health.Status // nil for none
	duties        func() Duties          // nil for none
	live          map[string]Member      // workers
	absent        map[string]time.Time   // when the key of a worker was first found absent, by ID
	renewedAt     time.Time              // when the last successful renewal began
	heldFrom      time.Time              // since when our key has existed without a gap
	recordedAt    time.Time              // when the last-seen record was written
	recordedState health.State           // the state in that record

	// changed is closed and replaced at least when a worker is added to live or removed from it,
	// and when the slots or the leadership of one change.
	changed chan struct{}
}

const (
	// What the keys of live workers begin with. The rest of such a key is the worker's ID.
	workerKeys = workerPrefix + "."

	// In addition to its key, a member has a last-seen record. The record expires after a day, long
	// after the key, so that other processes see that the member is gone. A member that leaves the
	// fleet removes its record.
	lastPrefix   = "last."
	lastTTL      = 24 * time.Hour
	lastInterval = time.Minute

	// How long a new process tries to remove the records of the dead processes that it replaces.
	replaceWithin = time.Minute
)

// Join creates a membership. Others see it after the first call of Renew, which Run also makes.
// lease is about how long others wait before they take over a dead member's work. They wait for
// less time if they know that the member's process is dead.
func Join(store *Store, lease time.Duration, p Process) *Membership {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	// ttl and grace together are the lease. The server counts a TTL in whole seconds.
	ttl := max((lease * 2 / 3).Truncate(time.Second), time.Second)
	return &Membership{
		store:  store,
		prefix: keyPrefix(p.Role),
		ttl:    ttl,
		grace:  lease - ttl,
		self: Member{
			ID:      newMemberID(),
			Role:    p.Role,
			Host:    host,
			PID:     os.Getpid(),
			Version: p.Version,
			Config:  p.Config,
			Started: time.Now().UTC(),
			Slots:   p.Slots,
			State:   health.OK,
		},
		firstSeqs: map[string]string{},
		live:      map[string]Member{},
		absent:    map[string]time.Time{},
		changed:   make(chan struct{}),
	}
}

// SetParts sets the function that returns the state of the member's parts.
func (f *Membership) SetParts(parts func() []health.Status) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.parts = parts
}

// SetDuties sets the function that returns the member's duties.
func (f *Membership) SetDuties(duties func() Duties) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.duties = duties
}

// Run renews the membership until ctx ends, and then leaves the fleet at once.
func (f *Membership) Run(ctx context.Context) error {
	renew := time.NewTicker(min(f.ttl/3, time.Second))
	defer renew.Stop()
	defer f.leave()
	if f.prefix != workerPrefix {
		for {
			f.renewIfDue(ctx)
			select {
			case <-ctx.Done():
				return nil
			case <-renew.C:
			}
		}
	}
	for {
		if err := f.follow(ctx, renew.C); ctx.Err() != nil {
			return nil
		} else if err != nil {
			if pipeline.Sleep(ctx, time.Second) != nil {
				return nil
			}
		}
	}
}

// follow watches the workers and renews our own key, until the watch breaks or ctx ends.
func (f *Membership) follow(ctx context.Context, renew <-chan time.Time) error {
	f.renewIfDue(ctx)
	w, err := f.store.kv.Watch(ctx, workerKeys+">")
	if err != nil {
		return fmt.Errorf("watch the fleet: %w", err)
	}
	defer func() { _ = w.Stop() }()
	existing := map[string]bool{} // IDs of the keys delivered so far; nil once all existing keys were delivered
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-renew:
			f.renewIfDue(ctx)
		case e, ok := <-w.Updates():
			switch {
			case !ok:
				return errors.New("the watch on the fleet ended")
			case e == nil:
				f.removeMissing(existing)
				existing = nil
			default:
				id := e.Key()[len(workerKeys):]
				if existing != nil {
					existing[id] = true
				}
				f.handleEntry(id, e)
			}
		}
	}
}

// removeMissing removes from live the workers whose keys no longer exist: the keys expired or were
// removed while we were disconnected.
func (f *Membership) removeMissing(existing map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id := range f.live {
		if !existing[id] {
			delete(f.live, id)
			f.absent[id] = time.Now()
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// handleEntry updates the live workers after a change of a worker's key.
func (f *Membership) handleEntry(id string, e jetstream.KeyValueEntry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e.Operation() != jetstream.KeyValuePut {
		if _, known := f.live[id]; !known {
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
		before, known := f.live[id]
		if known && before.Slots == m.Slots && before.Leader == m.Leader {
			f.live[id] = m
			return
		}
		f.live[id] = m
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// renewIfDue renews our key when it is due, or when our state has changed. If that fails, the next
// tick retries. We remain a member until the key expires.
func (f *Membership) renewIfDue(ctx context.Context) {
	state := f.describe().State
	f.mu.Lock()
	due := elapsed(f.renewedAt) >= f.ttl/3 || state != f.recordedState
	f.mu.Unlock()

	if due && f.Renew(ctx) != nil {
		return
	}
	if !f.purgeDone && time.Since(f.self.Started) < replaceWithin {
		f.purgeDone = f.purgeReplaced(ctx)
	}
}

// purgeReplaced removes the last-seen records of the dead processes that this one replaces, so that
// they are not shown as gone, even after this process leaves. It returns false if it has to be
// called again. That is so after an error, and while it is unknown whether another process with our
// role on our host is alive: the key of a dead process remains until it expires, so only a renewed
// key shows that its process is alive.
func (f *Membership) purgeReplaced(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, f.ttl/3)
	defer cancel()
	live, last, err := f.store.members(ctx)
	if err != nil {
		return false
	}

	finished := f.updateSiblings(live)
	for _, m := range live {
		delete(last, m.ID)
	}

	self := f.describe()
	for _, m := range last {
		if !replaces(self, m) {
			continue
		}
		if f.store.kv.Purge(ctx, lastPrefix+f.prefix+"."+m.ID, jetstream.PurgeTTL(time.Minute)) != nil {
			finished = false
		}
	}

	return finished
}

// updateSiblings adds to Siblings the processes with our role on our host that have renewed their
// keys since they were first seen. It returns false while there is a process with our role on our
// host whose key exists but has not been renewed yet. Siblings has at most maxSiblings entries.
func (f *Membership) updateSiblings(live []Member) bool {
	f.mu.Lock()
	defer f.mu.Unlock()

	all := true
	for _, m := range live {
		if m.ID == f.self.ID || m.Role != f.self.Role || m.Host != f.self.Host || slices.Contains(f.self.Siblings, m.ID) {
			continue
		}
		first, seen := f.firstSeqs[m.ID]
		switch {
		case !seen:
			f.firstSeqs[m.ID] = m.keySeq
			all = false
		case first == m.keySeq:
			all = false
		case len(f.self.Siblings) < maxSiblings:
			f.self.Siblings = append(slices.Clone(f.self.Siblings), m.ID) // copies of self share the old slice
		}
	}

	return all
}

// Renew writes our key with its time-to-live, which a plain Put or Update would remove. Renew also
// writes the last-seen record if that is due. Its error shows whether the process can write to the
// store at all.
func (f *Membership) Renew(ctx context.Context) error {
	self := f.describe()
	self.Duties = f.currentDuties()
	start := time.Now()
	if err := f.write(ctx, f.prefix+"."+self.ID, self, f.ttl, f.ttl/3); err != nil {
		return err
	}

	f.mu.Lock()
	if f.renewedAt.IsZero() || elapsed(f.renewedAt) >= f.ttl {
		f.heldFrom = start // the key may have expired meanwhile
	}
	f.renewedAt = start
	due := f.recordedState != self.State || start.Sub(f.recordedAt) >= lastInterval
	f.mu.Unlock()
	if !due {
		return nil
	}

	self.Seen = start.UTC()
	if err := f.write(ctx, lastPrefix+f.prefix+"."+self.ID, self, lastTTL, f.ttl/3); err != nil {
		return err
	}
	f.mu.Lock()
	f.recordedAt = start
	f.recordedState = self.State
	f.mu.Unlock()

	return nil
}

func (f *Membership) write(ctx context.Context, key string, self Member, ttl, timeout time.Duration) error {
	body, err := json.Marshal(self)
	if err != nil {
		return err
	}
	m := nats.NewMsg(jets.KeyWrite(f.store.js.Options(), f.store.kv.Bucket(), key))
	m.Data = body
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err = f.store.js.PublishMsg(ctx, m, jetstream.WithMsgTTL(ttl))

	return err
}

// Limits of what a member publishes, so that its key stays small.
const (
	maxUnwell   = 5
	maxReason   = 300 // bytes
	maxSiblings = 50
)

// describe returns the data that this member publishes about itself, without its duties.
func (f *Membership) describe() Member {
	f.mu.Lock()
	self, parts := f.self, f.parts
	f.mu.Unlock()
	if parts == nil {
		return self
	}

	all := parts()
	self.State = health.Worst(all)
	unwell := health.NotOK(all)
	self.Unwell = unwell[:min(len(unwell), maxUnwell)]
	for i := range self.Unwell {
		self.Unwell[i].Reason = cut(self.Unwell[i].Reason, maxReason)
		self.Unwell[i].Remedy = cut(self.Unwell[i].Remedy, maxReason)
	}

	return self
}

// currentDuties returns what this member publishes about its duties.
func (f *Membership) currentDuties() Duties {
	f.mu.Lock()
	duties := f.duties
	f.mu.Unlock()
	if duties == nil {
		return Duties{}
	}

	return duties().bounded()
}

// leave ends the membership at once, so that other members need not wait for the lease.
func (f *Membership) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	_ = f.store.kv.Purge(ctx, f.prefix+"."+f.self.ID, jetstream.PurgeTTL(time.Minute))
	_ = f.store.kv.Purge(ctx, lastPrefix+f.prefix+"."+f.self.ID, jetstream.PurgeTTL(time.Minute))
}

// StillMember reports whether our membership definitely still exists.
func (f *Membership) StillMember() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.renewedAt.IsZero() && elapsed(f.renewedAt) < f.ttl*2/3
}

// HeldSince reports whether our membership has definitely existed without a gap since t, so that no
// other worker has taken over what we claimed at t or later. There is a gap if the process was
// frozen, or disconnected, for longer than its key's time-to-live.
func (f *Membership) HeldSince(t time.Time) bool {
	f.mu.Lock()
	held := !f.heldFrom.IsZero() && !f.heldFrom.After(t)
	f.mu.Unlock()

	return held && f.StillMember()
}

// elapsed returns the time since t by whichever clock says more: the monotonic clock stands still
// while a machine is suspended, and the wall clock can be set back.
func elapsed(t time.Time) time.Duration {
	return max(time.Since(t), time.Now().Round(0).Sub(t.Round(0)))
}

// Gone reports whether a worker is gone for good: its key has expired or was removed, and either
// its process is known to be dead or the key has been absent for a while. An empty ID is gone. The
// delay is needed because after an outage of the server every worker's key is absent for a moment.
func (f *Membership) Gone(ctx context.Context, id string) (bool, error) {
	if id == f.self.ID {
		return false, nil
	}
	if id == "" {
		return true, nil
	}
	_, rev, err := Get[Member](ctx, f.store, workerKeys+id)
	if err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if rev != 0 {
		delete(f.absent, id)
		return false, nil
	}
	if processEnded(id) {
		return true, nil
	}
	since, seen := f.absent[id]
	if !seen {
		f.absent[id] = time.Now()
		return false, nil
	}
	return time.Since(since) >= f.grace, nil
}

// LiveWorkers returns the live workers, including ourselves, and a channel that is closed when they
// may have changed. Only a worker may call it.
func (f *Membership) LiveWorkers() ([]Member, <-chan struct{}) {
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

// SetLeader sets whether we lead, which our key shows from its next renewal on.
func (f *Membership) SetLeader(v bool) {
	f.mu.Lock()
	f.self.Leader = v
	f.mu.Unlock()
}

// SetConfig sets the fingerprint of a new configuration, which our key shows from its next renewal
// on.
func (f *Membership) SetConfig(fingerprint string) {
	f.mu.Lock()
	f.self.Config = fingerprint
	f.mu.Unlock()
}

// leadership names the worker that runs the poller.
type leadership struct {
	Owner string `json:"owner"`
}

const leaderKey = "leader"

// TryLead tries to become the leader. It succeeds if there is no leader, we already lead, or the
// leader is gone. If the leader's process is known to be dead, TryLead does not wait until the
// leader's key expires: whatever the leader began may be repeated at once, unlike an upload.
func (f *Membership) TryLead(ctx context.Context) (bool, error) {
	s, rev, err := Get[leadership](ctx, f.store, leaderKey)
	if err != nil {
		return false, err
	}
	if s.Owner == f.self.ID {
		return true, nil
	}
	if rev != 0 && !processEnded(s.Owner) {
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

// StepDown ends our leadership, if we lead.
func (f *Membership) StepDown(ctx context.Context) {
	s, rev, err := Get[leadership](ctx, f.store, leaderKey)
	if err == nil && rev != 0 && s.Owner == f.self.ID {
		_, _ = f.store.Save(ctx, leaderKey, leadership{}, rev)
	}
}

// Leads reports whether the store names us as the leader.
func (f *Membership) Leads(ctx context.Context) (bool, error) {
	s, _, err := Get[leadership](ctx, f.store, leaderKey)

	return s.Owner == f.self.ID, err
}

// ID returns this member's ID.
func (f *Membership) ID() string { return f.self.ID }

// Live reports whether a worker's key existed at the last update from the server. It makes no
// request, and works only in a worker.
func (f *Membership) Live(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, live := f.live[id]

	return live || id == f.self.ID
}

// Members returns the processes of a fleet, ordered by their start: live processes, and those that
// are gone and that no other process has replaced.
func Members(ctx context.Context, s *Store) ([]Member, error) {
	live, last, err := s.members(ctx)
	if err != nil {
		return nil, err
	}

	return withGone(live, last), nil
}

// members reads the keys of live members, and the last-seen records by ID.
func (s *Store) members(ctx context.Context) (live []Member, last map[string]Member, err error) {
	base := jets.KeySubject + s.kv.Bucket() + "."
	live = []Member{}
	last = map[string]Member{}
	var filters []string
	for _, p := range []string{workerPrefix, watcherPrefix, apiPrefix} {
		filters = append(filters, base+p+".*", base+lastPrefix+p+".*")
	}
	msgs, err := jets.Newest(ctx, s.js, jets.KeyStream+s.kv.Bucket(), filters...)
	if err != nil {
		return nil, nil, fmt.Errorf("members of the fleet: %w", err)
	}
	for _, m := range msgs {
		if m.Header.Get("KV-Operation") != "" || m.Header.Get(jetstream.MarkerReasonHeader) != "" {
			continue // removed, or expired
		}
		key := strings.TrimPrefix(m.Header.Get(jetstream.SubjectHeader), base)
		prefix, id, _ := strings.Cut(strings.TrimPrefix(key, lastPrefix), ".")
		var member Member
		if json.Unmarshal(m.Data, &member) != nil || member.ID != id || keyPrefix(member.Role) != prefix {
			continue // the ID or the role does not belong to this key: do not trust it
		}
		if strings.HasPrefix(key, lastPrefix) {
			last[member.ID] = member
		} else {
			member.keySeq = m.Header.Get(jetstream.SequenceHeader)
			live = append(live, member)
		}
	}

	return live, last, nil
}

// replaces reports whether a process replaces a dead one: it has the same role on the same host,
// started after the other was last seen, and never saw it alive. The last condition is needed
// because a member writes its last-seen record only once a minute: it may have been alive after
// Seen, and beside the new process.
func replaces(live, dead Member) bool {
	return live.Role == dead.Role && live.Host == dead.Host && live.Started.After(dead.Seen) && !slices.Contains(live.Siblings, dead.ID)
}

// withGone adds to the live members those that are gone and that no other process has replaced.
func withGone(live []Member, last map[string]Member) []Member {
	for _, m := range live {
		delete(last, m.ID)
	}
	all := live
	for _, m := range last {
		replaced := slices.ContainsFunc(live, func(l Member) bool {
			return replaces(l, m)
		})
		if !replaced {
			m.Gone = true
			m.Leader = false
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b Member) int { return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.ID, b.ID)) })

	return all
}

// OwnKeys returns patterns, for NATS permissions, that match the keys of the store that a process
// of a role writes about itself.
func OwnKeys(role string) []string {
	p := keyPrefix(role)

	return []string{p + ".*", lastPrefix + p + ".*"}
}
