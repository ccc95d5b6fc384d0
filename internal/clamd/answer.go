package clamd

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"backburn/internal/judge"
	"backburn/internal/rootfs"
	"backburn/pipeline"
)

// commands is the answer to VERSIONCOMMANDS.
const commands = "SCAN CONTSCAN MULTISCAN ALLMATCHSCAN INSTREAM FILDES PING VERSION VERSIONCOMMANDS STATS RELOAD IDSESSION END"

// version returns the version in the form that clients parse: engine, signature database and its
// date. The engine number is that of the protocol version; there are no signatures, so the rest is
// a placeholder.
func (s *Server) version() string {
	return "ClamAV 1.4.3/1/" + s.started.UTC().Format(time.ANSIC)
}

// stats returns the current load in the form of clamd's STATS.
func (s *Server) stats() string {
	open := s.Listener.Open()

	return fmt.Sprintf("POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live %d  idle 0 max %d idle-timeout %d\nQUEUE: 0 items\n\nEND",
		open, s.cfg.MaxConnections, int(stallTimeout.Seconds()))
}

// subject is what a client asks about.
type subject struct {
	command  string
	filename string // may contain any bytes
	path     string // may contain any bytes; "" if there is none
}

func (s *Server) count(answer string) { s.metrics.answers.WithLabelValues(answer).Inc() }

// result is the answer about one subject.
type result struct {
	text  string // after the name and a colon
	found bool
	fault bool
}

var fine = result{text: "OK"}

func found(signature string) result { return result{text: signature + " FOUND", found: true} }

func fault(why string) result { return result{text: why + ". ERROR", fault: true} }

// reply sends the answer about one subject.
func (s *Server) reply(r result, name string, to answers) { _ = to.say(name + ": " + r.text) }

// judge returns the answer about contents.
func (s *Server) judge(c judge.Contents, what subject) result {
	if c.Size == 0 {
		s.count(answeredOK)
		return fine
	}

	out, known, err := s.use.Judge.Known(s.Life, c.SHA256)
	if err == nil && !known {
		out, err = s.ask(c, what)
	}
	if err != nil {
		return s.failed(err, what)
	}

	switch {
	case out.Malicious():
		s.count(answeredFound)
		s.use.Log.Info().Str("sha256", c.SHA256).Str("verdict", out.String()).Str("command", what.command).Msg("reported malicious contents to a clamd client")
		return found("WildFire." + out.String())
	case out.Decided:
		s.count(answeredOK)
		return fine
	}
	s.count(answeredUnknown)
	switch s.cfg.Unknown {
	case UnknownOK:
		return fine
	case UnknownFound:
		return found("WildFire.unknown")
	}

	return fault("WildFire has no verdict (" + out.Reason + ")")
}

// ask submits contents and waits for the outcome.
func (s *Server) ask(c judge.Contents, what subject) (judge.Outcome, error) {
	job := pipeline.Job{
		ID:         "clamd-" + rand.Text(),
		Source:     s.cfg.Source,
		Priority:   s.cfg.Priority,
		Metadata:   map[string]string{"clamd-command": strings.ToLower(what.command)},
		ReceivedAt: time.Now().UTC(),
	}
	job.Filename, job.FilenameB64 = pipeline.Name(what.filename)
	job.Path, job.PathB64 = pipeline.Name(what.path)
	if err := s.use.Judge.Submit(s.Life, job, c); err != nil {
		return judge.Outcome{}, err
	}
	s.use.Log.Debug().Str("job", job.ID).Str("sha256", c.SHA256).Int64("size", c.Size).Msg("accepted from a clamd client")

	ctx, cancel := context.WithTimeout(s.Ending, s.cfg.Wait)
	defer cancel()

	return s.use.Judge.Wait(ctx, job.Ref()), nil
}

// failed returns the answer about contents that could not be judged.
func (s *Server) failed(err error, what subject) result {
	s.count(answeredError)
	if judge.Refused(err) {
		s.use.Log.Warn().Err(err).Str("command", what.command).Msg("cannot judge a clamd client's contents")
		return fault("cannot be judged: it changed while it was read, or its name is too long")
	}
	s.use.Log.Error().Err(err).Str("command", what.command).Msg("cannot judge for a clamd client")

	return fault("the queue does not answer, or is full")
}

// file returns the answer about an open file.
func (s *Server) file(f *os.File, what subject) result {
	info, err := f.Stat()
	switch {
	case err != nil:
		s.count(answeredError)
		return fault("cannot look at the file")
	case !info.Mode().IsRegular():
		s.count(answeredError)
		return fault("not a regular file")
	case info.Size() > s.cfg.MaxStream:
		s.count(answeredError)
		return fault("size limit exceeded")
	}
	if err := s.ours(f); err != nil {
		s.use.Log.Error().Err(err).Str("path", what.path).Msg("a client sent one of Backburn's own files; it is not uploaded")
		s.count(answeredError)
		return fault("Access denied")
	}

	sum := sha256.New()
	buf := buffers.Get().(*[]byte)
	n, err := io.CopyBuffer(sum, io.LimitReader(whole(f), s.cfg.MaxStream+1), *buf)
	buffers.Put(buf)
	if err != nil || n > s.cfg.MaxStream {
		s.count(answeredError)
		return fault("cannot read the file")
	}

	return s.judge(judge.Contents{
		SHA256: hex.EncodeToString(sum.Sum(nil)),
		Size:   n,
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(whole(f), n+1)), nil },
	}, what)
}

// ours returns an error if a file belongs to Backburn itself.
func (s *Server) ours(f *os.File) error {
	st, err := rootfs.StatFile(f)
	if err != nil {
		return err
	}

	return s.use.Guard.File(st.Identity)
}

// whole reads a file from its beginning, whatever its current offset.
func whole(f *os.File) io.Reader { return io.NewSectionReader(f, 0, 1<<62) }

// nameOf returns the name of a passed file if the system reveals it. WildFire recognizes scripts by
// their extension.
func nameOf(f *os.File) string {
	const unnamed = "file"
	if runtime.GOOS != "linux" {
		return unnamed
	}
	name, err := os.Readlink("/proc/self/fd/" + strconv.FormatUint(uint64(f.Fd()), 10))
	if err != nil || !path.IsAbs(name) {
		return unnamed
	}
	base := path.Base(strings.TrimSuffix(name, " (deleted)"))
	if base == "/" || base == "." {
		return unnamed
	}

	return base
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}
