package guard

// Look has the files looked at now.
func (g *Guard) Look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lookLocked()
}
