package clamd

import (
	"bufio"
	"errors"
	"os"
	"sync"
	"time"

	"backburn/internal/local"
)

// Time limits for clients.
const (
	stallTimeout  = 30 * time.Second // for the next bytes while no command is running, and for accepting an answer
	streamTimeout = 10 * time.Minute // for a whole stream
	lingerTimeout = time.Second      // for reading an answer that was sent before the client had sent everything
)

// peer is the connection to the client. Only one goroutine may read; send is safe for concurrent
// use.
type peer struct {
	conn           *local.Conn
	in             *bufio.Reader // reads through receive
	files          []*os.File    // passed by the client and not used yet
	streamDeadline time.Time     // deadline of the current stream; zero without a stream

	mu  sync.Mutex
	out []byte
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxCommand+1) }}

func newPeer(conn *local.Conn) *peer {
	p := &peer{conn: conn, in: readers.Get().(*bufio.Reader)}
	p.in.Reset(p)

	return p
}

// close closes the connection, and the files passed over it.
func (p *peer) close() {
	for _, f := range p.files {
		_ = f.Close()
	}
	p.files = nil
	p.in.Reset(nil)
	readers.Put(p.in)
	_ = p.conn.Close()
}

// maxPassed is the maximum number of passed files that no command has used yet.
const maxPassed = 16

var errTooManyFiles = errors.New("too many files passed without a command")

// addPassedFile stores a file that was passed.
func (p *peer) addPassedFile(f *os.File) error {
	if len(p.files) == maxPassed {
		_ = f.Close()
		return errTooManyFiles
	}
	p.files = append(p.files, f)

	return nil
}

// nextPassedFile waits for the file of a FILDES command. It arrives with one byte, which has no
// meaning.
func (p *peer) nextPassedFile() (*os.File, error) {
	if _, err := p.in.ReadByte(); err != nil {
		return nil, err
	}
	if len(p.files) == 0 {
		return nil, errors.New("no file was passed")
	}
	f := p.files[0]
	p.files = p.files[1:]

	return f, nil
}

// send sends one answer.
func (p *peer) send(text string, end byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.conn.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return err
	}
	p.out = append(append(p.out[:0], text...), end)
	_, err := p.conn.Write(p.out)

	return err
}

// responder sends the answers to one command.
type responder struct {
	p      *peer
	prefix string
	end    byte
}

func (a responder) send(text string) error { return a.p.send(a.prefix+text, a.end) }

// linger gives the client time to read an answer that was sent before its input was read
// completely. Closing at once could discard the answer. No further answer can be sent.
func (p *peer) linger() {
	if half, ok := p.conn.Conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	if p.conn.SetReadDeadline(time.Now().Add(lingerTimeout)) != nil {
		return
	}
	buf := make([]byte, 32<<10)
	for {
		if _, err := p.conn.Read(buf); err != nil {
			return
		}
	}
}
