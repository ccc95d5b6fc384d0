package watch

// SetStep lets a test hear of every step that a file takes.
func (w *Watcher) SetStep(f func(step string)) { w.step = f }

// SetOnEvent lets a test hear of every event, in the event loop.
func (w *Watcher) SetOnEvent(f func()) { w.onEvent = f }

// SetOnScan lets a test hear of every full scan's end.
func (w *Watcher) SetOnScan(f func()) { w.onScan = f }
