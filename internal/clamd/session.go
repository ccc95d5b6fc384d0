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
	s          *Server
	p          *peer
	numbered   bool // IDSESSION was called: answers are numbered
	lastNumber int  // number of the last command
	commands   errgroup.Group
	running    atomic.Int32 // running commands
}

// next handles the next command. It reports whether another one may follow.
func (n *session) next() bool {
	if !n.awaitCommand() {
		return false
	}
	c, err := readCommand(n.p.in)
	switch {
	case errors.Is(err, errLongCommand):
		_ = n.p.send("UNKNOWN COMMAND", '\n')
		n.linger()
		return false
	case isTimeout(err):
		_ = n.p.send("COMMAND READ TIMED OUT", '\n')
		return false
	case err != nil:
		return false
	}

	n.lastNumber++
	to := responder{p: n.p, end: c.end}
	if n.numbered {
		to.prefix = strconv.Itoa(n.lastNumber) + ": "
	}

	return n.execute(c, to)
}

// awaitCommand waits for the first byte of a command. A client may be silent while it waits for an
// answer.
func (n *session) awaitCommand() bool {
	for {
		_, err := n.p.in.Peek(1)
		if err == nil {
			return true
		}
		if n.running.Load() == 0 || !isTimeout(err) || n.s.Ending.Err() != nil {
			return false
		}
	}
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)

	return ok && ne.Timeout() || errors.Is(err, os.ErrDeadlineExceeded)
}

// execute handles a command. It reports whether another one may follow.
func (n *session) execute(c command, to responder) bool {
	switch c.name {
	case "PING":
		return to.send("PONG") == nil
	case "VERSION":
		return to.send(n.s.version()) == nil
	case "VERSIONCOMMANDS":
		return to.send(n.s.version()+"| COMMANDS: "+commands) == nil
	case "STATS":
		return to.send(n.s.stats()) == nil
	case "RELOAD": // there is nothing to reload
		return to.send("RELOADING") == nil
	case "IDSESSION":
		n.numbered = true
		n.lastNumber = 0
		return true
	case "END":
		return false
	case "INSTREAM":
		return n.instream(to)
	case "FILDES":
		return n.fildes(to)
	case "SCAN", "CONTSCAN", "MULTISCAN", "ALLMATCHSCAN":
		n.start(func() { n.s.scan(c.name, c.arg, to) })
		return true
	}
	_ = to.send("UNKNOWN COMMAND")

	return false
}

// start runs a command concurrently with others of its session.
func (n *session) start(work func()) {
	n.running.Add(1)
	n.commands.Go(func() error {
		defer n.running.Add(-1)
		work()
		return nil
	})
}

// instream reads a stream and judges it.
func (n *session) instream(to responder) bool {
	spool := judge.NewSpool(n.s.cfg.MaxStream)
	err := n.readStream(spool)
	if err == nil {
		n.start(func() {
			defer spool.Close()
			n.s.reply(n.s.judge(spool.Contents(), scanTarget{command: "INSTREAM", filename: "stream"}), "stream", to)
		})

		return true
	}

	_ = spool.Close()
	switch {
	case errors.Is(err, judge.ErrTooLong):
		n.s.count(answeredError)
		_ = to.send("INSTREAM size limit exceeded. ERROR")
		n.linger()
	case isTimeout(err):
		_ = to.send("INSTREAM read timed out. ERROR")
	case !errors.Is(err, errStreamEnded): // the disk is full
		n.s.count(answeredError)
		n.s.deps.Log.Error().Err(err).Msg("cannot store a stream temporarily")
		_ = to.send("INSTREAM: no room for the stream. ERROR")
		n.linger()
	}

	return false
}

// linger waits until the running commands are answered, and then for the client to read the
// answers.
func (n *session) linger() {
	_ = n.commands.Wait()
	n.p.linger()
}

// errStreamEnded means that the client disconnected, or was disconnected, in the middle of a
// stream.
var errStreamEnded = errors.New("the stream ended early")

// readStream reads chunks: four bytes with the length, followed by the contents. A chunk of length
// zero ends the stream.
func (n *session) readStream(spool *judge.Spool) error {
	n.p.streamDeadline = time.Now().Add(streamTimeout)
	defer func() { n.p.streamDeadline = time.Time{} }()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)

	var length [4]byte
	for {
		if _, err := io.ReadFull(n.p.in, length[:]); err != nil {
			return streamError(err)
		}
		remaining := int64(binary.BigEndian.Uint32(length[:]))
		if remaining == 0 {
			return nil
		}
		if spool.Size()+remaining > n.s.cfg.MaxStream {
			return judge.ErrTooLong
		}

		for remaining > 0 {
			got, err := n.p.in.Read((*buf)[:min(remaining, int64(len(*buf)))])
			if _, writeErr := spool.Write((*buf)[:got]); writeErr != nil {
				return writeErr
			}
			remaining -= int64(got)
			if err != nil && remaining > 0 {
				return streamError(err)
			}
		}
	}
}

// streamError returns why a stream ended early: the client was too slow, or disconnected.
func streamError(err error) error {
	if isTimeout(err) {
		return err
	}

	return fmt.Errorf("%w: %w", errStreamEnded, err)
}

// fildes judges the file that was passed.
func (n *session) fildes(to responder) bool {
	f, err := n.p.nextPassedFile()
	if err != nil {
		_ = to.send("No file descriptor received. ERROR")
		return false
	}
	label := "fd[" + strconv.FormatUint(uint64(f.Fd()), 10) + "]"
	n.start(func() {
		defer f.Close()
		n.s.reply(n.s.judgeFile(f, scanTarget{command: "FILDES", filename: nameOf(f)}), label, to)
	})

	return true
}
