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
// date. The engine number stands for the protocol version. The rest is a placeholder, because there
// are no signatures.
func (s *Server) version() string {
	return "ClamAV 1.4.3/1/" + s.started.UTC().Format(time.ANSIC)
}

// stats returns the current load in the form of clamd's STATS.
func (s *Server) stats() string {
	open := s.Listener.Open()

	return fmt.Sprintf("POOLS: 1\n\nSTATE: VALID PRIMARY\nTHREADS: live %d  idle 0 max %d idle-timeout %d\nQUEUE: 0 items\n\nEND",
		open, s.cfg.MaxConnections, int(stallTimeout.Seconds()))
}

// scanTarget describes the contents that a client asks about.
type scanTarget struct {
	command  string
	filename string // may contain any bytes
	path     string // may contain any bytes; "" if there is none
}

func (s *Server) count(answer string) { s.answers.WithLabelValues(answer).Inc() }

// result is the answer about one target.
type result struct {
	text   string // after the name and a colon
	found  bool
	failed bool
}

var resultOK = result{text: "OK"}

func foundResult(signature string) result { return result{text: signature + " FOUND", found: true} }

func errorResult(why string) result { return result{text: why + ". ERROR", failed: true} }

// failedResult counts contents that could not be judged, and returns the answer.
func (s *Server) failedResult(why string) result {
	s.count(answeredError)

	return errorResult(why)
}

// reply sends the answer about one target.
func (s *Server) reply(r result, name string, to responder) { _ = to.send(name + ": " + r.text) }

// judge returns the answer about contents.
func (s *Server) judge(c judge.Contents, target scanTarget) result {
	if c.Size == 0 {
		s.count(answeredOK)
		return resultOK
	}

	out, known, err := s.deps.Judge.Known(s.Life, c.SHA256)
	if err == nil && !known {
		out, err = s.submitAndWait(c, target)
	}
	if err != nil {
		return s.errorResultFor(err, target)
	}

	switch {
	case out.Malicious():
		s.count(answeredFound)
		s.deps.Log.Info().Str("sha256", c.SHA256).Str("verdict", out.String()).Str("command", target.command).Msg("reported malicious contents to a clamd client")
		return foundResult("WildFire." + out.String())
	case out.Decided:
		s.count(answeredOK)
		return resultOK
	}
	s.count(answeredUnknown)
	switch s.cfg.Unknown {
	case UnknownOK:
		return resultOK
	case UnknownFound:
		return foundResult("WildFire.unknown")
	}

	return errorResult("WildFire has no verdict (" + out.Reason + ")")
}

// submitAndWait submits contents and waits for the outcome.
func (s *Server) submitAndWait(c judge.Contents, target scanTarget) (judge.Outcome, error) {
	job := pipeline.Job{
		ID:         "clamd-" + rand.Text(),
		Source:     s.cfg.Source,
		Priority:   s.cfg.Priority,
		Metadata:   map[string]string{"clamd-command": strings.ToLower(target.command)},
		ReceivedAt: time.Now().UTC(),
	}
	job.Filename, job.FilenameB64 = pipeline.EncodeName(target.filename)
	job.Path, job.PathB64 = pipeline.EncodeName(target.path)
	if err := s.deps.Judge.Submit(s.Life, job, c); err != nil {
		return judge.Outcome{}, err
	}
	s.deps.Log.Debug().Str("job", job.ID).Str("sha256", c.SHA256).Int64("size", c.Size).Msg("accepted from a clamd client")

	ctx, cancel := context.WithTimeout(s.Ending, s.cfg.Wait)
	defer cancel()

	return s.deps.Judge.Wait(ctx, job.Ref()), nil
}

// errorResultFor returns the answer about contents that could not be judged.
func (s *Server) errorResultFor(err error, target scanTarget) result {
	if judge.Refused(err) {
		s.deps.Log.Warn().Err(err).Str("command", target.command).Msg("cannot judge a clamd client's contents")
		return s.failedResult("cannot be judged: it changed while it was read, or its name is too long")
	}
	s.deps.Log.Error().Err(err).Str("command", target.command).Msg("cannot judge for a clamd client")

	return s.failedResult("the queue does not answer, or is full")
}

// judgeFile returns the answer about an open file.
func (s *Server) judgeFile(f *os.File, target scanTarget) result {
	info, err := f.Stat()
	switch {
	case err != nil:
		return s.failedResult("cannot look at the file")
	case !info.Mode().IsRegular():
		return s.failedResult("not a regular file")
	case info.Size() > s.cfg.MaxStream:
		return s.failedResult("size limit exceeded")
	}
	if err := s.checkNotOwn(f); err != nil {
		s.deps.Log.Error().Err(err).Str("path", target.path).Msg("a client sent one of Backburn's own files; it is not uploaded")
		return s.failedResult("Access denied")
	}

	sum := sha256.New()
	buf := buffers.Get().(*[]byte)
	n, err := io.CopyBuffer(sum, io.LimitReader(fromStart(f), s.cfg.MaxStream+1), *buf)
	buffers.Put(buf)
	if err != nil || n > s.cfg.MaxStream {
		return s.failedResult("cannot read the file")
	}

	return s.judge(judge.Contents{
		SHA256: hex.EncodeToString(sum.Sum(nil)),
		Size:   n,
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(io.LimitReader(fromStart(f), n+1)), nil },
	}, target)
}

// checkNotOwn returns an error if a file belongs to Backburn itself.
func (s *Server) checkNotOwn(f *os.File) error {
	st, err := rootfs.StatFile(f)
	if err != nil {
		return err
	}

	return s.deps.Guard.File(st.Identity)
}

// fromStart reads a file from its beginning, whatever its current offset.
func fromStart(f *os.File) io.Reader { return io.NewSectionReader(f, 0, 1<<62) }

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
