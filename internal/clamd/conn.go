package clamd

import (
	"bufio"
	"errors"
	"os"
	"sync"
	"time"

	"backburn/internal/local"
)

// The times that a client is given.
const (
	stallTimeout = 30 * time.Second // for the next bytes while no command is under way, and to take an answer
	streamTime   = 10 * time.Minute // for a whole stream
	lingerTime   = time.Second      // to read an answer that came before all was sent
)

// peer is the client's end. Reading is for one goroutine; say is safe for concurrent use.
type peer struct {
	conn  *local.Conn
	in    *bufio.Reader // reads through receive
	files []*os.File    // passed, not asked for yet
	until time.Time     // when the stream must have ended; zero for no stream

	mu  sync.Mutex
	out []byte
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxCommand+1) }}

func newPeer(conn *local.Conn) *peer {
	p := &peer{conn: conn, in: readers.Get().(*bufio.Reader)}
	p.in.Reset(p)

	return p
}

// close ends the connection, and drops what was passed over it.
func (p *peer) close() {
	for _, f := range p.files {
		_ = f.Close()
	}
	p.files = nil
	p.in.Reset(nil)
	readers.Put(p.in)
	_ = p.conn.Close()
}

// maxPassed is how many files may have been passed that no command has asked for yet.
const maxPassed = 16

var errTooManyFiles = errors.New("more files passed than asked for")

// keep takes over a file that was passed.
func (p *peer) keep(f *os.File) error {
	if len(p.files) == maxPassed {
		_ = f.Close()
		return errTooManyFiles
	}
	p.files = append(p.files, f)

	return nil
}

// passed waits for the file that a FILDES announces: it comes with one byte, which means nothing.
func (p *peer) passed() (*os.File, error) {
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

// say writes one answer.
func (p *peer) say(text string, end byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.conn.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
		return err
	}
	p.out = append(append(p.out[:0], text...), end)
	_, err := p.conn.Write(p.out)

	return err
}

// linger lets the client read an answer that came before all that it sends was read: the system
// would drop the answer otherwise.
func (p *peer) linger() {
	if half, ok := p.conn.Conn.(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
		return
	}
	if p.conn.SetReadDeadline(time.Now().Add(lingerTime)) != nil {
		return
	}
	buf := make([]byte, 32<<10)
	for {
		if _, err := p.conn.Read(buf); err != nil {
			return
		}
	}
}
