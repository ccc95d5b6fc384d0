package poller

// linkTurns makes the links of different sources take turns. Each link needs a call of its own, so
// otherwise a source with many links could keep the others waiting for most of a day.
type linkTurns struct {
	calls int
	last  map[string]int // number of the last call for a link of a source
}

const maxTurnSources = 1000 // if linkTurns.last has more sources, it is emptied

// of finds which of the sources has waited longest. It returns the number of the last call for that
// source, or 0 if there was none.
func (t *linkTurns) of(sources []string) int {
	turn := t.calls
	for _, s := range sources {
		turn = min(turn, t.last[s])
	}
	return turn
}

// take records a call for a link of the sources.
func (t *linkTurns) take(sources []string) {
	if t.last == nil || len(t.last) > maxTurnSources {
		t.last = map[string]int{}
	}
	t.calls++
	for _, s := range sources {
		t.last[s] = t.calls
	}
}
