package poller

// Reconfigured has the poller go by settings that changed: what waits for a budget is looked at
// again.
func (p *Poller) Reconfigured() {
	p.requeues.SetLimit(requeueRate(p.config().Rate))

	p.mu.Lock()
	leads := p.list != nil // or led once
	p.mu.Unlock()
	if leads {
		p.scheduleChecks()
	}
	signal(p.wakeAsk)
}
