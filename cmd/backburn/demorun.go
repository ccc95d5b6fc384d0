package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"backburn/internal/app"
	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/natsd"
	"backburn/results"
)

func (d *demo) run(ctx context.Context, keep bool) (err error) {
	if d.dir, err = os.MkdirTemp("", "backburn-demo-"); err != nil {
		return cli.Exit(cli.Unreachable, fmt.Errorf("demo: %w", err))
	}

	if keep {
		defer fmt.Fprintf(d.tool.Err, "All files are in %s\n", d.dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	}

	sim, err := startPacedSimulation(d.delay)
	if err != nil {
		return err
	}
	defer sim.stop()
	cfg, err := d.config()
	if err != nil {
		return err
	}

	sim.use(&cfg)
	cfg.Pipeline.Simulated = true
	log := zerolog.New(d.tool.Err).Level(zerolog.ErrorLevel)
	server, err := natsd.Start(ctx, cfg, log)
	if err != nil {
		return withExitCode(err)
	}
	defer server.Shutdown()
	cfg.NATS = server.NATS()
	n, err := app.Start(ctx, cfg, app.Roles{Watch: true, Work: true, NATS: server}, log)
	if err != nil {
		return err
	}

	ctx, stop := context.WithTimeoutCause(ctx, demoTimeout, errors.New("the verdicts took too long"))
	defer stop()
	var g errgroup.Group
	g.Go(func() error { return n.Run(ctx) })
	dropAndFollow := func() error {
		defer stop()
		fmt.Fprintf(d.tool.Err, "NATS, watcher, worker and a simulated WildFire run in %s\n", d.dir)
		if err := d.drop(filepath.Join(d.dir, "quarantine")); err != nil {
			return err
		}

		return d.follow(ctx, n)
	}

	return errors.Join(dropAndFollow(), g.Wait())
}

// demo is one run of the command.
type demo struct {
	tool   *cli.App
	asJSON bool
	delay  time.Duration

	dir     string
	samples []sampleFile
	dropped map[string]time.Time     // by path relative to the quarantine folder
	final   map[string]results.Event // by the same path
}

// demoTimeout is how long the demo waits for the verdicts.
const demoTimeout = 2 * time.Minute

// config returns the defaults, with all paths in the temporary folder and at a pace that people can
// follow.
func (d *demo) config() (config.Config, error) {
	cfg := config.Default()
	cfg.NATS.URL = "nats://127.0.0.1:0"
	cfg.NATS.Embedded.StoreDir = filepath.Join(d.dir, "nats")
	cfg.HTTP.Listen = ""
	cfg.Pipeline.Rate = 20
	cfg.Pipeline.FirstPoll, cfg.Pipeline.MaxPoll = time.Second, 2*time.Second
	cfg.Pipeline.UploadsPerDay, cfg.Pipeline.QueriesPerDay = 0, 0
	w := &cfg.Watch[0]
	w.Path = filepath.Join(d.dir, "quarantine")
	w.Settle = time.Second
	w.Scan = 2 * time.Second
	w.StaleAfter = 3 * time.Second // for the empty file
	w.MaxFileSize = demoMaxFileSize
	w.MinFree = 0

	return cfg, os.MkdirAll(w.Path, 0o700)
}

// drop writes the samples into the quarantine folder.
func (d *demo) drop(quarantine string) error {
	var err error
	if d.samples, err = sampleFiles(); err != nil {
		return fmt.Errorf("demo: make samples: %w", err)
	}

	d.dropped = map[string]time.Time{}
	for _, s := range d.samples {
		path := filepath.Join(quarantine, filepath.FromSlash(s.name))
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("demo: %w", err)
		}

		d.dropped[s.name] = time.Now()
		if err := s.write(path); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}

	fmt.Fprintf(d.tool.Err, "%d files dropped into %s\n\n", len(d.samples), quarantine)

	return nil
}

// follow shows progress until each file has its final event.
func (d *demo) follow(ctx context.Context, n *app.Node) error {
	bars := newProgressBars(d.tool.Err)
	submitted, decided := bars.count("submitted", len(d.samples)), bars.count("decided", len(d.samples))
	sub := results.NewSubscriber(n.Queue().JetStream(), results.SubscriberConfig{Prefix: n.Queue().Prefix()})
	d.final = map[string]results.Event{}
	err := sub.Run(ctx, func(_ context.Context, e results.Event) error {
		switch {
		case submitted == nil: // not on a terminal
			fmt.Fprintf(d.tool.Err, "%-10s %-16s %s\n", e.Type.Name(), e.Outcome(), e.Data.Path)
		case e.Type.Final():
			decided.done()
		default:
			submitted.done()
		}

		if e.Type.Final() {
			d.final[e.Data.Path] = e
		}
		if len(d.final) == len(d.samples) {
			return results.ErrStop
		}

		return nil
	})
	bars.end() // some files are never uploaded
	fmt.Fprintln(d.tool.Err)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	return err
}

// print prints the final events.
func (d *demo) print() error {
	if d.asJSON {
		for _, s := range d.samples {
			if err := printJSON(d.tool.Out, d.final[s.name]); err != nil {
				return err
			}
		}

		return nil
	}

	d.table(d.final)
	d.printNextSteps()

	return nil
}

func (d *demo) printNextSteps() {
	fmt.Fprint(d.tool.Out, `
Every line above is an event that other services can consume; duplicates were uploaded once.

Where to go from here
  backburn run --simulate       the same, until you stop it: drop files into ./quarantine
  backburn simulate --help      the markers that decide a simulated verdict
  backburn config show          every setting, with the defaults
  docs/install.md               a real account, in six lines of TOML
`)
}

// table prints the result of each file.
func (d *demo) table(final map[string]results.Event) {
	t := newTable("~FILE", ">SIZE", "SHA-256", "VERDICT", "BASIS", ">TIME")
	var all resultCounts
	for _, s := range d.samples {
		e := final[s.name]
		verdict, tone := styleVerdict(e.Data.Verdict)
		basis := string(e.Data.Basis)
		if e.Data.Error != nil {
			verdict, basis = "failed: "+string(e.Data.Error.Reason), "-"
			tone = notable
		}

		all.addEvent(e)
		t.add(tone, path.Base(s.name), humanSize(e.Data.Size), shortHash(e.Data.SHA256), verdict, basis,
			e.Time.Sub(d.dropped[s.name]).Round(100*time.Millisecond).String())
	}

	p := stdoutWriter(d.tool)
	t.print(p)
	fmt.Fprintf(p, "\n%s\n", all.summary(p))
}
