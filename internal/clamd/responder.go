package clamd

// responder sends the answers to one command.
type responder struct {
	p      *peer
	prefix string
	end    byte
}

func (a responder) send(text string) error { return a.p.send(a.prefix+text, a.end) }
