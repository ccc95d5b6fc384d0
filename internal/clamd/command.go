package clamd

import (
	"bufio"
	"bytes"
	"errors"
	"strings"
)

// command is one request of a client.
type command struct {
	name string // in upper case
	arg  string
	end  byte // terminates the command and its answers: NUL or newline
}

// maxCommand is the maximum length of a command in bytes: the longest path, plus a word before it.
const maxCommand = 4096 + 64

var errLongCommand = errors.New("a command that is too long")

// readCommand reads one command. The prefix defines the terminator: NUL after z, newline after n or
// without a prefix. The reader's buffer must hold maxCommand bytes.
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
