package clamd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"backburn/internal/judge"
)

// sessionCommands is how many commands of one session run at a time.
const sessionCommands = 8

// session is a connection and its running commands. Without IDSESSION there is only one command.
type session struct {
	s     *Server
	p     *peer
	ids   bool // IDSESSION was called: answers are numbered
	last  int  // number of the last command
	work  errgroup.Group
	count atomic.Int32 // running commands
}

// next handles the next command. It reports whether another one may follow.
func (n *session) next() bool {
	if !n.awaitCommand() {
		return false
	}
	c, err := readCommand(n.p.in)
	switch {
	case errors.Is(err, errLongCommand):
		_ = n.p.say("UNKNOWN COMMAND", '\n')
		n.p.linger()
		return false
	case isTimeout(err):
		_ = n.p.say("COMMAND READ TIMED OUT", '\n')
		return false
	case err != nil:
		return false
	}

	n.last++
	to := answers{p: n.p, end: c.end}
	if n.ids {
		to.prefix = strconv.Itoa(n.last) + ": "
	}

	return n.answer(c, to)
}

// awaitCommand waits for the first byte of a command. A client may be silent while it waits for an
// answer.
func (n *session) awaitCommand() bool {
	for {
		_, err := n.p.in.Peek(1)
		if err == nil {
			return true
		}
		if n.count.Load() == 0 || !isTimeout(err) || n.s.Ending.Err() != nil {
			return false
		}
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)

	return ok && ne.Timeout() || errors.Is(err, os.ErrDeadlineExceeded)
}

// answer handles a command. It reports whether another one may follow.
func (n *session) answer(c command, to answers) bool {
	switch c.name {
	case "PING":
		return to.say("PONG") == nil
	case "VERSION":
		return to.say(n.s.version()) == nil
	case "VERSIONCOMMANDS":
		return to.say(n.s.version()+"| COMMANDS: "+commands) == nil
	case "STATS":
		return to.say(n.s.stats()) == nil
	case "RELOAD": // there is nothing to reload
		return to.say("RELOADING") == nil
	case "IDSESSION":
		n.ids = true
		n.last = 0
		return true
	case "END":
		return false
	case "INSTREAM":
		return n.instream(to)
	case "FILDES":
		return n.fildes(to)
	case "SCAN", "CONTSCAN", "MULTISCAN", "ALLMATCHSCAN":
		n.do(func() { n.s.scan(c.name, c.arg, to) })
		return true
	}
	_ = to.say("UNKNOWN COMMAND")

	return false
}

// do runs a command concurrently with others of its session.
func (n *session) do(work func()) {
	n.count.Add(1)
	n.work.Go(func() error {
		defer n.count.Add(-1)
		work()
		return nil
	})
}

// instream reads a stream and judges it.
func (n *session) instream(to answers) bool {
	spool := judge.NewSpool(n.s.cfg.MaxStream)
	err := n.readStream(spool)
	switch {
	case errors.Is(err, judge.ErrTooLong):
		n.s.count(answeredError)
		_ = spool.Close()
		_ = to.say("INSTREAM size limit exceeded. ERROR")
		n.p.linger()
		return false
	case isTimeout(err):
		_ = spool.Close()
		_ = to.say("INSTREAM read timed out. ERROR")
		return false
	case errors.Is(err, errBroken):
		_ = spool.Close()
		return false
	case err != nil: // the disk is full
		n.s.count(answeredError)
		n.s.use.Log.Error().Err(err).Msg("cannot store a stream temporarily")
		_ = spool.Close()
		_ = to.say("INSTREAM: no room for the stream. ERROR")
		n.p.linger()
		return false
	}

	n.do(func() {
		defer spool.Close()
		n.s.reply(n.s.judge(spool.Contents(), subject{command: "INSTREAM", filename: "stream"}), "stream", to)
	})

	return true
}

// errBroken means that the client disconnected, or was disconnected, in the middle of a stream.
var errBroken = errors.New("the stream ended early")

// readStream reads chunks: four bytes with the length, followed by the contents. A chunk of length
// zero ends the stream.
func (n *session) readStream(spool *judge.Spool) error {
	n.p.until = time.Now().Add(streamTime)
	defer func() { n.p.until = time.Time{} }()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)

	var length [4]byte
	for {
		if _, err := io.ReadFull(n.p.in, length[:]); err != nil {
			return broken(err)
		}
		left := int64(binary.BigEndian.Uint32(length[:]))
		if left == 0 {
			return nil
		}
		if spool.Size()+left > n.s.cfg.MaxStream {
			return judge.ErrTooLong
		}

		for left > 0 {
			got, err := n.p.in.Read((*buf)[:min(left, int64(len(*buf)))])
			if _, werr := spool.Write((*buf)[:got]); werr != nil {
				return werr
			}
			left -= int64(got)
			if err != nil && left > 0 {
				return broken(err)
			}
		}
	}
}

// broken explains why a stream did not reach its end: a slow or disconnected client.
func broken(err error) error {
	if isTimeout(err) {
		return err
	}

	return fmt.Errorf("%w: %w", errBroken, err)
}

// fildes judges the file that was passed.
func (n *session) fildes(to answers) bool {
	f, err := n.p.passed()
	if err != nil {
		_ = to.say("No file descriptor received. ERROR")
		return false
	}
	label := "fd[" + strconv.FormatUint(uint64(f.Fd()), 10) + "]"
	n.do(func() {
		defer f.Close()
		n.s.reply(n.s.file(f, subject{command: "FILDES", filename: nameOf(f)}), label, to)
	})

	return true
}
