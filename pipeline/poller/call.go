package poller

import (
	"backburn/pipeline"
	"backburn/wildfire"
)

// call is one request to WildFire: what it asks about, and why.
type call struct {
	hashes   []string                  // for get/verdicts
	link     *Question                 // for get/verdict, instead of hashes
	awaited  map[string]*waitingSample // those samples of the call for which jobs wait, by key
	rechecks []recheck                 // from the list of rechecks
	urgent   bool
}

// isEmpty reports whether the call asks about nothing. This is possible although hasQuestions
// returned true: since then, a due sample may have received a verdict, or the job with a link's URL
// may have ended.
func (c *call) isEmpty() bool { return len(c.hashes) == 0 && (c.link == nil || c.link.URL == "") }

// nextCall returns the next call. A call for hashes has the workers' questions first, because a
// worker holds a job until its question is answered. Then it has samples that are due, and then
// samples that will be due soon, because they cost nothing extra. Each link needs a call of its own
// (nextLink). While both hashes and links wait, every other call is for a link.
func (q *querier) nextCall() call {
	q.mu.Lock()
	defer q.mu.Unlock()

	q.preferLink = !q.preferLink
	if q.preferLink {
		if c, ok := q.nextLinkCall(); ok {
			return c
		}
	}
	c := q.nextHashCall()
	if len(c.hashes) == 0 {
		if link, ok := q.nextLinkCall(); ok {
			return link
		}
	}
	q.fill(&c)

	return c
}

// nextLinkCall returns a call for one link, or false if there is no link to ask about. The caller
// holds mu.
func (q *querier) nextLinkCall() (call, bool) {
	link, ok := q.nextLink()
	if !ok {
		return call{}, false
	}
	q.turns.take(link.sources)

	c := call{awaited: map[string]*waitingSample{}}
	a := link.question
	if a == nil {
		c.link = &Question{Key: link.sample.sample.key()} // addURL adds the URL
		q.addAwaited(&c, link.sample)

		return c, true
	}

	qn := a.Question
	a.inCall = true
	c.link = &qn
	c.urgent = a.Urgent
	if e := q.list.find(a.Key); e != nil { // jobs wait for the link, too
		if _, due := q.list.toAsk[e]; due {
			q.addAwaited(&c, e)
		}
	}

	return c, true
}

// maxLinks limits the links of each list that are compared for one call. If a list has more, an
// arbitrary part of it is compared.
const maxLinks = 5000

// linkChoice is a link that may be asked about.
type linkChoice struct {
	question *workerQuestion // a worker's question about the link, or nil
	sample   *waitingSample  // if question is nil: the link as a sample that jobs wait for
	sources  []string
	urgent   bool
	turn     int
}

// before reports whether a link is asked about before another: the one whose source has waited
// longer goes first. If both have waited equally long, an urgent link goes first, and after that
// one for which a worker holds a job.
func (c linkChoice) before(other linkChoice) bool {
	switch {
	case c.turn != other.turn:
		return c.turn < other.turn
	case c.urgent != other.urgent:
		return c.urgent
	}
	return c.question != nil && other.question == nil
}

// nextLink returns the next link to ask about, or false if there is none. The caller holds mu.
func (q *querier) nextLink() (best linkChoice, found bool) {
	compared := 0
	consider := func(c linkChoice) {
		compared++
		if len(c.sources) == 0 {
			c.sources = []string{""}
		}
		if c.turn = q.turns.of(c.sources); !found || c.before(best) {
			best = c
			found = true
		}
	}

	for _, a := range q.questions {
		if compared >= maxLinks {
			break
		}
		if a.URL != "" {
			consider(linkChoice{question: a, sources: a.Sources, urgent: a.Urgent})
		}
	}

	compared = 0
	for e := range q.list.toAsk {
		if compared >= maxLinks {
			break
		}
		if !e.sample.link {
			continue
		}

		c := linkChoice{sample: e}
		for j := range q.list.jobsOf(e) {
			c.sources = append(c.sources, j.source())
			c.urgent = c.urgent || j.priority() == pipeline.Urgent
			if len(c.sources) == maxSources {
				break
			}
		}
		consider(c)
	}

	return best, found
}

// nextHashCall returns a call with the workers' questions and the samples that are due. The caller
// holds mu.
func (q *querier) nextHashCall() call {
	c := call{awaited: map[string]*waitingSample{}}
	for _, a := range q.questions {
		if a.URL != "" || len(c.hashes) >= wildfire.MaxHashes {
			continue
		}
		a.inCall = true
		c.hashes = append(c.hashes, a.Key)
		c.urgent = c.urgent || a.Urgent
	}

	for e := range q.list.toAsk {
		if len(c.hashes) >= wildfire.MaxHashes {
			break
		}
		if !e.sample.link {
			q.addAwaited(&c, e)
		}
	}

	return c
}

// fill uses the room that is left in a call, first for samples that will be due soon, then for
// rechecks. The caller holds mu.
func (q *querier) fill(c *call) {
	now := q.Now()
	soon := q.config().FirstPoll

	// The front of the heap has most of the samples that will be due first; sorting a large heap
	// would take too long. Select the samples before adding any of them, because addAwaited changes
	// the heap.
	var more []*waitingSample
	for _, e := range q.list.due[:min(len(q.list.due), 2*wildfire.MaxHashes)] {
		if len(c.hashes)+len(more) >= wildfire.MaxHashes {
			break
		}
		if e.pending && !e.sample.link && e.due.sub(now) < soon && now.Sub(e.submitted.time()) >= soon {
			more = append(more, e)
		}
	}
	for _, e := range more {
		q.addAwaited(c, e)
	}

	c.rechecks = q.rechecker.rechecks.take(now, wildfire.MaxHashes-len(c.hashes))
	for _, r := range c.rechecks {
		c.hashes = append(c.hashes, r.key)
	}
}

// addAwaited adds a sample to a call because jobs wait for it. If a worker asked about the sample,
// its hash is in the call already. The caller holds mu.
func (q *querier) addAwaited(c *call, e *waitingSample) {
	delete(q.list.toAsk, e)
	q.list.due.remove(e)
	e.busy = true

	key := e.sample.key()
	c.awaited[key] = e
	if a := q.questions[key]; c.link == nil && (a == nil || !a.inCall) {
		c.hashes = append(c.hashes, key)
	}
	for j := range q.list.jobsOf(e) {
		c.urgent = c.urgent || j.priority() == pipeline.Urgent
	}
}

// putBack puts the workers' questions, the awaited samples and the rechecks of a failed call back
// into their lists. An awaited sample that changed during the call is checked first.
func (q *querier) putBack(c call) {
	q.mu.Lock()
	defer q.mu.Unlock()

	for _, a := range q.questions {
		a.inCall = false
	}
	q.rechecker.rechecks.putBack(c.rechecks)
	for _, e := range c.awaited {
		e.busy = false
		switch {
		case !q.list.awaited(e):
			q.list.drop(e)
		case e.checkAgain:
			e.checkAgain = false
			e.pending = false
			q.list.schedule(e, q.Now())
			signal(q.wakeCheck)
		default:
			q.list.toAsk[e] = struct{}{}
		}
	}
}
