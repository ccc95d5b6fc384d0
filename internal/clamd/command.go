package clamd

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
)

// command is what a client asks for.
type command struct {
	name string // in upper case
	arg  string
	end  byte // ends the command and its answers: NUL or newline
}

// maxCommand is the longest command, in bytes: a path of the longest kind, and a word before it.
const maxCommand = 4096 + 64

var errLongCommand = errors.New("a command that is too long")

// readCommand reads one command. A prefix says what ends it: z a NUL, n a newline; without one it
// is a newline. The reader's buffer must hold maxCommand bytes.
func readCommand(r *bufio.Reader) (command, error) {
	first, err := r.Peek(1)
	if err != nil {
		return command{}, err
	}

	c := command{end: '\n'}
	switch first[0] {
	case 'z':
		c.end = 0
		_, err = r.Discard(1)
	case 'n':
		_, err = r.Discard(1)
	}
	if err != nil {
		return command{}, err
	}

	line, err := r.ReadSlice(c.end)
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return command{}, errLongCommand
	case err != nil:
		return command{}, err
	}
	line = line[:len(line)-1]
	if c.end == '\n' {
		line = bytes.TrimSuffix(line, []byte{'\r'})
	}
	if len(line) > maxCommand {
		return command{}, errLongCommand
	}

	name, arg, _ := strings.Cut(string(line), " ")
	c.name = strings.ToUpper(name)
	c.arg = arg

	return c, nil
}
