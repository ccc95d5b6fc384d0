package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"backburn/internal/cli"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

func submitCommand(tool *cli.App) *cobra.Command {
	s := &submission{tool: tool}
	var priority string
	cmd := &cobra.Command{
		Use:   "submit PATH…|URL…",
		Short: "Hand in files, folders or links, and wait for the verdicts",
		Long: `Hands in files, all files below folders, and links, as a gateway does: small ones in a message,
larger ones through the object bucket. The files stay where they are, and workers need not
reach them. Links in folders and what a watcher keeps (.backburn) are passed over.

With --wait it stays until each has its verdict, up to --timeout. What was handed in goes on
in any case: "backburn trace JOB" and "backburn results --source submit" find it.

A terminal gets a table; anywhere else each file is a line of JSON with "path", "job_id" and
"state": accepted, decided (with "event"), pending when the time is up, or error.

Exit codes, with --wait as with clamscan: 0 all is harmless, 1 something is malicious, 3 a
file could not be handed in, or has no verdict.`,
		Example: `  backburn submit invoice.exe
  backburn submit --wait ~/Downloads
  backburn submit --wait --priority urgent --timeout 10m suspicious.doc && echo harmless
  find /srv -newer mark -type f -print0 | xargs -0 backburn submit --source nightly`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.priority = pipeline.Priority(priority)
			switch {
			case !s.priority.Valid():
				return cli.Usagef("--priority: expected urgent, normal or bulk, got %q", priority)
			case !pipeline.ValidSource(s.source):
				return cli.Usagef("--source: expected 1 to 32 of a-z, 0-9, _ and -, got %q", s.source)
			case s.timeout < 0:
				return cli.Usagef("--timeout: not negative, got %s", s.timeout)
			case slices.Contains(args, "-"):
				return cli.Usagef("standard input is not read: write it to a file, whose name goes into the events (./- is a file)")
			case s.timeout > 0 && !s.wait:
				return cli.Usagef("--timeout is for --wait: without it nothing is waited for")
			}
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			q, release, err := attach(cmd.Context(), tool, cfg, "submit")
			if err != nil {
				return err
			}
			defer release()
			s.queue = q
			s.asJSON = s.asJSON || !isTerminal(tool.Out)
			return s.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&s.wait, "wait", false, "wait for the verdicts")
	f.DurationVar(&s.timeout, "timeout", 0, "wait no longer than so much `time`; 0: as long as it takes")
	f.StringVar(&priority, "priority", string(pipeline.Normal), "`lane`: urgent, normal or bulk")
	f.StringVar(&s.source, "source", "submit", "`name` of the source in subjects and events")
	f.BoolVar(&s.asJSON, "json", false, "JSON lines on a terminal too")
	return cmd
}

// handIns is how many files are handed in at a time.
const handIns = 4

// submission is one run of the command.
type submission struct {
	tool     *cli.App
	queue    *queue.Queue
	priority pipeline.Priority
	source   string
	wait     bool
	asJSON   bool
	timeout  time.Duration
	bars     *submitBars

	mu      sync.Mutex
	entries []*entry          // in the order in which they were found
	byJob   map[string]*entry // those that were accepted
	open    int               // accepted, and not decided yet
	walked  bool              // everything was handed in
	all     chan struct{}     // closed when everything is decided
}

// entry is a file, or a link, and what became of it.
type entry struct {
	path, url string
	job       string
	size      int64
	state     string // accepted, decided, pending, error
	err       error
	event     *results.Event
}

// The states of an entry.
const (
	stateAccepted = "accepted"
	stateDecided  = "decided"
	statePending  = "pending"
	stateError    = "error"
)

func (s *submission) run(ctx context.Context, args []string) error {
	s.byJob, s.all = map[string]*entry{}, make(chan struct{})
	s.bars = newSubmitBars(s.tool.Err, s.wait)
	defer s.bars.end()

	wctx, stop := context.WithCancel(ctx)
	defer stop()
	if s.timeout > 0 {
		wctx, stop = context.WithTimeout(ctx, s.timeout)
		defer stop()
	}
	var g errgroup.Group
	if s.wait {
		began := time.Now().Add(-time.Minute) // the server's clock may be another
		g.Go(func() error { return s.follow(wctx, began) })
	}
	err := s.handIn(ctx, args)
	if s.wait && err == nil {
		select {
		case <-s.all:
		case <-wctx.Done():
		}
	}
	stop()
	if ferr := g.Wait(); err == nil && ctx.Err() == nil {
		err = ferr
	}
	s.bars.end()
	if rerr := s.report(ctx); err == nil {
		err = rerr
	}
	return err
}

// handIn walks the arguments and hands in what it finds. A file that can't be handed in is
// told of, and keeps no other from it.
func (s *submission) handIn(ctx context.Context, args []string) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(handIns)
	err := walkArgs(gctx, args, func(path string, err error) error {
		e := &entry{path: path, err: err}
		if err == nil && isURL(path) {
			e.path, e.url = "", path
		}
		s.mu.Lock()
		s.entries = append(s.entries, e)
		s.mu.Unlock()
		s.bars.found()
		g.Go(func() error { return s.one(gctx, e) })
		return gctx.Err()
	})
	if gerr := g.Wait(); err == nil || errors.Is(err, context.Canceled) && gerr != nil {
		err = gerr
	}
	s.mu.Lock()
	s.walked = true
	s.settled()
	s.mu.Unlock()
	return err
}

// walkArgs calls visit for each link, each file, and each regular file below a folder. visit
// gets an error with what can't be looked at.
func walkArgs(ctx context.Context, args []string, visit func(path string, err error) error) error {
	for _, arg := range args {
		if isURL(arg) {
			if err := visit(arg, nil); err != nil {
				return err
			}
			continue
		}
		info, err := os.Stat(arg)
		if err == nil && !info.IsDir() {
			if !info.Mode().IsRegular() {
				err = errors.New("not a regular file")
			}
			if err = visit(arg, err); err != nil {
				return err
			}
			continue
		}
		if err == nil {
			// A link to a folder is followed where it was named, nowhere else.
			err = filepath.WalkDir(arg+string(filepath.Separator), func(path string, d os.DirEntry, err error) error {
				switch {
				case ctx.Err() != nil:
					return ctx.Err()
				case err != nil:
					return visit(path, err)
				case d.IsDir() && d.Name() == pipeline.SpoolDir:
					return filepath.SkipDir
				case !d.Type().IsRegular():
					return nil
				}
				return visit(path, nil)
			})
		} else {
			err = visit(arg, err)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// one hands in one entry. Only an error that concerns all of them is returned.
func (s *submission) one(ctx context.Context, e *entry) error {
	err := e.err
	if err == nil {
		s.mu.Lock() // the event may be faster than we are
		e.job = "submit-" + rand.Text()
		s.byJob[e.job] = e
		s.mu.Unlock()
		err = s.publish(ctx, e)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		e.state, e.err = stateError, err
		delete(s.byJob, e.job)
		s.bars.handedIn(false)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return s.line(e)
	case e.state == stateDecided:
		s.bars.handedIn(true)
		return nil
	}
	e.state = stateAccepted
	s.open++
	s.bars.handedIn(true)
	if s.wait {
		return nil
	}
	return s.line(e)
}

// publish hands in an entry, as often as it takes while the queue is full.
func (s *submission) publish(ctx context.Context, e *entry) error {
	name, nameB64 := pipeline.Name(filepath.Base(e.path))
	path, pathB64 := pipeline.Name(filepath.ToSlash(e.path))
	j := pipeline.Job{
		ID: e.job, Source: s.source, Priority: s.priority, Version: 1, Kind: pipeline.KindFile,
		Filename: name, FilenameB64: nameB64, Path: path, PathB64: pathB64,
	}
	if e.url != "" {
		j = pipeline.Job{ID: e.job, Source: s.source, Priority: s.priority, Version: 1, Kind: pipeline.KindURL, URL: e.url, ReceivedAt: time.Now().UTC()}
	}
	for told := false; ; told = true {
		var err error
		if e.url != "" {
			_, err = s.queue.Publisher().Submit(ctx, j, queue.Content{})
		} else {
			err = s.publishFile(ctx, e, j)
		}
		if !errors.Is(err, pipeline.ErrFull) {
			return err
		}
		if !told {
			fmt.Fprintln(s.bars.talk(), "The queue is full; waiting until it has room.")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func (s *submission) publishFile(ctx context.Context, e *entry, j pipeline.Job) error {
	f, err := os.Open(e.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("not a regular file")
	}
	size := info.Size()
	s.mu.Lock()
	e.size = size
	s.mu.Unlock()
	open, end := s.bars.file(printable(filepath.Base(e.path)), size, func() (io.ReadCloser, error) {
		_, err := f.Seek(0, io.SeekStart)
		return io.NopCloser(f), err
	})
	defer end()
	_, err = s.queue.Publisher().Submit(ctx, j, queue.FromFile(size, open))

	return err
}

// follow reads final events until everything is decided, or ctx ends.
func (s *submission) follow(ctx context.Context, since time.Time) error {
	sub := results.NewSubscriber(s.queue.JetStream(), results.SubscriberConfig{
		Prefix: s.queue.Prefix(), Since: since,
		Filter: results.Filter{Types: []results.Type{results.Verdict, results.Failed}, Sources: []string{s.source}},
	})
	err := sub.Run(ctx, func(_ context.Context, ev results.Event) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		e := s.byJob[ev.Data.JobID]
		if e == nil || e.event != nil {
			return nil
		}
		if e.state == stateAccepted {
			s.open--
		}
		e.state, e.event = stateDecided, &ev
		s.bars.decided()
		if err := s.line(e); err != nil {
			return err
		}
		if s.settled() {
			return results.ErrStop
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// settled notices, and reports, that nothing is left to wait for. The caller holds mu.
func (s *submission) settled() bool {
	if !s.walked || s.open > 0 {
		return false
	}
	select {
	case <-s.all:
	default:
		close(s.all)
	}
	return true
}
