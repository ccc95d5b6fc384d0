package clamd

// answers sends the answers to one command.
type answers struct {
	p      *peer
	prefix string
	end    byte
}

func (a answers) say(text string) error { return a.p.say(a.prefix+text, a.end) }
