package watch

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"backburn/internal/guard"
	"backburn/internal/health"
	"backburn/pipeline/watch/spool"
)

// ErrUnusable is matched by the errors of Run: the folder or its configuration is unusable, and
// waiting does not help.
var ErrUnusable = spool.ErrUnusable

// Defaults that tests override.
const (
	reconcileEvery = time.Minute // interval between comparisons with the queue's jobs
	reconcileAge   = time.Minute // minimum age of a published job before it is compared; a younger one may not have reached the queue yet

	// publishWait limits one attempt to publish, so that the watcher reports a fault even if the
	// intake keeps retrying internally.
	publishWait = 10 * time.Second
)

// Watcher watches one folder. Create it with New.
type Watcher struct {
	cfg      Config
	path     string // Config.Path, absolute
	intake   Intake
	outcomes Outcomes
	objects  Objects
	log      zerolog.Logger
	catalog  Catalog // nil if the queue cannot be queried
	guard    *guard.Guard
	m        *metrics

	start     time.Time // when the clock that decisions use was 0
	cautious  cautiousClock
	inFlight  *inFlight
	health    *folderHealth
	troubles  *troubles
	blindOnce sync.Once

	pendingCount, oldestPending, scanned, claims, finishes, lastScan atomic.Int64

	// For tests only.
	onStep  func(name string) // called after each step of the work on a file
	onEvent func()            // called for every file system event
	onScan  func()            // called after every full scan

	reconcileEvery, reconcileAge, publishWait time.Duration
}

// Option configures a Watcher.
type Option func(*settings)

type settings struct {
	log     zerolog.Logger
	reg     prometheus.Registerer
	catalog Catalog

	guard  *guard.Guard
	health *health.Registry
}

// WithLogger sets the logger. The default logs nothing.
func WithLogger(log zerolog.Logger) Option { return func(s *settings) { s.log = log } }

// WithMetrics registers the watcher's metrics, backburn_watch_*, with the label source. Several
// watchers may share a registry.
func WithMetrics(reg prometheus.Registerer) Option { return func(s *settings) { s.reg = reg } }

// WithCatalog makes the watcher regularly compare the claimed files with the queue's jobs, and
// publish again those that the queue has lost.
func WithCatalog(c Catalog) Option { return func(s *settings) { s.catalog = c } }

// WithHealth sets the registry for the folder's health. The default is a new registry.
func WithHealth(r *health.Registry) Option { return func(s *settings) { s.health = r } }

// WithGuard makes the watcher leave Backburn's own files alone, and mark a job as not to be
// uploaded if its contents hold a secret. Without a guard, it does neither.
func WithGuard(g *guard.Guard) Option { return func(s *settings) { s.guard = g } }

// New creates a watcher of one folder. It accesses no files. objects may be nil unless cfg.Transfer
// is "object".
func New(cfg Config, intake Intake, outcomes Outcomes, objects Objects, opts ...Option) (*Watcher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if intake == nil || outcomes == nil {
		return nil, errors.New("watch: an intake and outcomes are needed")
	}
	if cfg.Transfer == TransferObject && objects == nil {
		return nil, errors.New(`watch: transfer = "object" needs an object store`)
	}
	abs, err := filepath.Abs(cfg.Path)
	if err != nil {
		return nil, fmt.Errorf("path: %w", err)
	}
	set := settings{log: zerolog.Nop()}
	for _, o := range opts {
		o(&set)
	}
	if set.health == nil {
		set.health = health.New(zerolog.Nop())
	}
	w := &Watcher{
		cfg:            cfg,
		path:           abs,
		intake:         intake,
		outcomes:       outcomes,
		objects:        objects,
		catalog:        set.catalog,
		guard:          set.guard,
		log:            set.log.With().Str("component", "watch").Str("source", cfg.Source).Logger(),
		m:              newMetrics(set.reg, cfg.Source),
		start:          time.Now(),
		inFlight:       newInFlight(cfg.MaxInFlight),
		reconcileEvery: reconcileEvery,
		reconcileAge:   reconcileAge,
		publishWait:    publishWait,
	}
	w.health = newFolderHealth(set.health, cfg)
	w.troubles = newTroubles(cfg.StaleAfter, w.m.troubled, w.log)
	w.health.registerTroubles(w.troubles, w.start)
	w.cautious.anchor(0)
	w.cautious.anchor(w.clock())

	return w, nil
}

// clock returns the time since the watcher was created; changes of the wall clock do not affect it.
func (w *Watcher) clock() time.Duration { return time.Since(w.start) }

// notifyStep tells tests that a file has completed a step.
func (w *Watcher) notifyStep(step string) {
	if w.onStep != nil {
		w.onStep(step)
	}
}
