package poller

// signal wakes the receiver of a channel of capacity one. It never blocks.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
