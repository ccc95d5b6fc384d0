package poller

import (
	"encoding/json"

	"github.com/nats-io/nats.go"

	"backburn/pipeline"
	"backburn/wildfire"
)

// querier asks WildFire the questions of workers, and asks about samples that jobs wait for and
// about samples to recheck.
type querier struct {
	*shared
	finisher  *finisher
	rechecker *rechecker
	questions map[string]*workerQuestion // by key; guarded by mu

	preferLink bool      // the current call is for a link, if a link waits; guarded by mu
	turns      linkTurns // guarded by mu
}

// workerQuestion is a question, and the inboxes of the workers that want the answer.
type workerQuestion struct {
	Question
	inboxes map[string]bool
	inCall  bool // it is part of the current call
}

// receive handles a worker's questions.
func (q *querier) receive(m *nats.Msg) {
	var questions []Question
	if m.Reply == "" || json.Unmarshal(m.Data, &questions) != nil || len(questions) > wildfire.MaxHashes {
		return
	}

	q.mu.Lock()
	for _, qn := range questions {
		if qn.URL != "" && qn.Key != pipeline.LinkKey(qn.URL) {
			continue // the answer would be stored under the key of another link
		}
		if qn.URL == "" && !pipeline.ValidSHA256(qn.Key) {
			continue // the whole call would fail, and so would its repetitions
		}
		a := q.questions[qn.Key]
		if a == nil {
			a = &workerQuestion{Question: qn, inboxes: map[string]bool{}}
			q.questions[qn.Key] = a
		}
		a.Urgent = a.Urgent || qn.Urgent
		a.Recheck = a.Recheck || qn.Recheck
		a.addSources(qn.Sources)
		a.inboxes[m.Reply] = true
		if e := q.list.find(qn.Key); a.Recheck && e != nil && e.pending && !e.busy {
			q.list.toAsk[e] = struct{}{} // jobs wait for the sample, too: one call serves both
		}
	}
	q.mu.Unlock()

	signal(q.wakeAsk)
}

// hasQuestions reports whether there is something to ask: a worker's question, a pending sample
// that is due or, if the budget is plentiful, a recheck that may have a call of its own.
func (q *querier) hasQuestions(plenty bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()

	return len(q.questions)+len(q.list.toAsk) > 0 || plenty && q.rechecker.rechecks.untilCall(q.Now()) <= 0
}

// reply answers the workers' questions in the last call. It returns the keys of the questions with
// the flag Recheck, so that the caller treats their answers as rechecks, too. The records are those
// that WildFire returned, by sample key. A sample without a record counts as unknown to WildFire.
func (q *querier) reply(records map[string]wildfire.VerdictRecord) (rechecks []string) {
	byInbox := map[string][]Answer{}
	q.mu.Lock()
	for key, a := range q.questions {
		if !a.inCall {
			continue
		}
		delete(q.questions, key)
		if a.Recheck {
			rechecks = append(rechecks, key)
		}

		r, ok := records[key]
		ans := Answer{Key: key, Verdict: wildfire.Unknown, MD5: r.MD5}
		if learned := answered(r, ok); learned.HasEntry {
			ans.Verdict = learned.Verdict
		}
		for inbox := range a.inboxes {
			byInbox[inbox] = append(byInbox[inbox], ans)
		}
	}
	q.mu.Unlock()

	for inbox, answers := range byInbox {
		if body, err := json.Marshal(answers); err == nil {
			_ = q.Queue.Conn().Publish(inbox, body) // if it is lost, the worker asks again
		}
	}

	return rechecks
}
