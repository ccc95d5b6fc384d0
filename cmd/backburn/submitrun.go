package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"backburn/internal/cli"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
)

func (s *submission) run(ctx context.Context, args []string) error {
	s.byJob, s.allFinished = map[string]*entry{}, make(chan struct{})
	s.bars = newProgressBars(s.tool.Err)
	defer s.bars.end()
	s.submitted = s.bars.count("submitted", 0)
	if s.wait {
		s.decided = s.bars.count("decided", 0)
	}

	wctx, stop := context.WithCancel(ctx)
	defer stop()
	if s.timeout > 0 {
		s.giveUpAt = time.Now().Add(s.timeout)
		wctx, stop = context.WithDeadline(ctx, s.giveUpAt)
		defer stop()
	}

	var g errgroup.Group
	if s.wait {
		began := time.Now().Add(-time.Minute) // the server's clock may be slow
		g.Go(func() error { return s.follow(wctx, began) })
	}

	err := s.submit(ctx, args)
	if s.wait && err == nil {
		select {
		case <-s.allFinished:
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

// submit walks the arguments and submits what it finds. It reports a file that cannot be submitted,
// and continues with the others.
func (s *submission) submit(ctx context.Context, args []string) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(maxConcurrentSubmits)
	err := walkArgs(gctx, args, func(path string, err error) error {
		e := &entry{path: path, err: err}
		if err == nil && isURL(path) {
			e.path, e.url = "", path
		}

		s.mu.Lock()
		s.entries = append(s.entries, e)
		s.mu.Unlock()
		s.submitted.expect(1)
		s.decided.expect(1)
		g.Go(func() error { return s.submitEntry(gctx, e) })

		return gctx.Err()
	})
	if gerr := g.Wait(); err == nil || errors.Is(err, context.Canceled) && gerr != nil {
		err = gerr
	}

	s.mu.Lock()
	s.allSubmitted = true
	s.closeIfFinished()
	s.mu.Unlock()

	return err
}

// submitEntry submits one entry. It returns only errors that concern all entries.
func (s *submission) submitEntry(ctx context.Context, e *entry) error {
	err := e.err
	if err == nil {
		s.mu.Lock() // the event may arrive before Submit returns
		e.job = "submit-" + rand.Text()
		s.byJob[e.job] = e
		s.mu.Unlock()
		err = s.publish(ctx, e)
	}

	s.submitted.done()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		e.state, e.err = stateError, err
		delete(s.byJob, e.job)
		s.decided.expect(-1)
		if ctx.Err() != nil {
			return ctx.Err()
		}

		return s.printEntry(e)
	case e.state == stateDecided:
		return nil
	}

	e.state = stateAccepted
	s.unfinished++
	if s.wait {
		return nil
	}

	return s.printEntry(e)
}

// publish submits an entry. While the queue is full, it retries, but not after the timeout.
func (s *submission) publish(ctx context.Context, e *entry) error {
	j := pipeline.Job{
		ID:       e.job,
		Source:   s.source,
		Priority: s.priority,
		Version:  1,
		Kind:     pipeline.KindFile,
		Submit:   s.maxSubmit,
	}
	if e.url != "" {
		j.Kind = pipeline.KindURL
		j.URL = e.url
		j.ReceivedAt = time.Now().UTC()
	} else {
		j.Filename, j.FilenameB64 = pipeline.EncodeName(filepath.Base(e.path))
		j.Path, j.PathB64 = pipeline.EncodeName(filepath.ToSlash(e.path))
	}

	return repeatWhileFull(ctx, s.giveUpAt, s.bars.messages(), func() error {
		if e.url != "" {
			_, err := s.queue.Publisher().Guarded(s.guard).Submit(ctx, j, queue.Input{})
			return err
		}

		return s.publishFile(ctx, e, j)
	})
}

// repeatWhileFull calls submit every second until the queue is no longer full, ctx ends, or it is
// giveUpAt; zero: no limit. It says once that it waits.
func repeatWhileFull(ctx context.Context, giveUpAt time.Time, messages io.Writer, submit func() error) error {
	for isReported := false; ; isReported = true {
		err := submit()
		if !errors.Is(err, pipeline.ErrFull) || !giveUpAt.IsZero() && !time.Now().Before(giveUpAt) {
			return err
		}
		if !isReported {
			fmt.Fprintln(messages, "The queue is full; waiting for space.")
		}

		if err := pipeline.Sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

func (s *submission) publishFile(ctx context.Context, e *entry, j pipeline.Job) error {
	if err := s.guard.Path(e.path); err != nil {
		return err
	}

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
	case info.Size() > s.limit: // a worker would refuse it anyway
		return fmt.Errorf("%d bytes; at most %d", info.Size(), s.limit)
	}

	size := info.Size()
	s.mu.Lock()
	e.size = size
	s.mu.Unlock()
	open, end := s.bars.file(cli.Printable(filepath.Base(e.path)), size, func() (io.ReadCloser, error) {
		_, err := f.Seek(0, io.SeekStart)
		return io.NopCloser(f), err
	})
	defer end()
	_, err = s.queue.Publisher().Guarded(s.guard).Submit(ctx, j, queue.FromFile(size, open))

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
			s.unfinished--
		}

		e.state, e.event = stateDecided, &ev
		s.decided.done()
		if err := s.printEntry(e); err != nil {
			return err
		}
		if s.closeIfFinished() {
			return results.ErrStop
		}

		return nil
	})
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the time to wait is over
	}

	return err
}

// maxConcurrentSubmits is how many files are submitted at a time.
const maxConcurrentSubmits = 4

// walkArgs calls visit for each link, each file, and each regular file below a folder. If a path
// cannot be read, visit gets the error.
func walkArgs(ctx context.Context, args []string, visit func(path string, err error) error) error {
	for _, arg := range args {
		info, err := os.Stat(arg)
		switch {
		case isURL(arg):
			err = visit(arg, nil)
		case err != nil:
			err = visit(arg, err)
		case info.Mode().IsRegular():
			err = visit(arg, nil)
		case !info.IsDir():
			err = visit(arg, errors.New("not a regular file"))
		default: // Follow a symbolic link to a folder only if it is an argument.
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
		}

		if err != nil {
			return err
		}
	}

	return ctx.Err()
}
