package clamd

// answers is where the answers to one command go.
type answers struct {
	p      *peer
	prefix string
	end    byte
}

func (a answers) say(text string) error { return a.p.say(a.prefix+text, a.end) }
