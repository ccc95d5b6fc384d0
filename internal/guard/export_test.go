package guard

// Look checks the files now.
func (g *Guard) Look() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.checkLocked()
}
