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

// ErrUnusable is matched by the errors of Run: faults of a folder, or of what the
// configuration makes of it, that waiting does not heal.
var ErrUnusable = spool.ErrUnusable

// Defaults of what tests set otherwise.
const (
	reconcileEvery = time.Minute // between two comparisons with what the queue knows
	reconcileAge   = time.Minute // how long a job must be published: before, it may be on its way

	// publishWait bounds one try to publish: an intake that goes on trying by itself must not hide
	// that files wait.
	publishWait = 10 * time.Second
)

// Watcher looks after one folder. Make it with New.
type Watcher struct {
	cfg      Config
	path     string // Config.Path, absolute
	intake   Intake
	outcomes Outcomes
	objects  Objects
	log      zerolog.Logger
	catalog  Catalog // nil where nobody can say
	guard    *guard.Guard
	m        *metrics

	start     time.Time // origin of the clock that decisions are made by
	cautious  cautiousClock
	inFlight  *inFlight
	health    *folderHealth
	troubles  *troubles
	blindOnce sync.Once

	pendingCount, oldestPending, scanned, claims, finishes, lastScan atomic.Int64

	// Set by tests alone.
	step    func(name string) // called when a step towards publication is done
	onEvent func()            // called for every file system event
	onScan  func()            // called after every full scan

	reconcileEvery, reconcileAge, publishWait time.Duration
}

// Option changes what a Watcher uses.
type Option func(*settings)

type settings struct {
	log zerolog.Logger
	reg prometheus.Registerer
	cat Catalog

	guard  *guard.Guard
	health *health.Registry
}

// WithLogger sets the logger. Without it nothing is logged.
func WithLogger(log zerolog.Logger) Option { return func(s *settings) { s.log = log } }

// WithMetrics registers the watcher's metrics, backburn_watch_*, with the label source.
// Several watchers may share a registry.
func WithMetrics(reg prometheus.Registerer) Option { return func(s *settings) { s.reg = reg } }

// WithCatalog lets the watcher compare from time to time what it has claimed with what the queue
// knows, and publish again what the queue lost.
func WithCatalog(c Catalog) Option { return func(s *settings) { s.cat = c } }

// WithHealth sets the registry to which the watcher reports how the folder is. Without it there is
// one of its own.
func WithHealth(r *health.Registry) Option { return func(s *settings) { s.health = r } }

// WithGuard has the watcher leave alone what is Backburn's own, and submit contents with a secret
// as what must not leave. Without it, it knows nothing of either.
func WithGuard(g *guard.Guard) Option { return func(s *settings) { s.guard = g } }

// New makes a watcher of one folder. It touches nothing yet. objects may be nil unless
// cfg.Transfer is "object".
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
		catalog:        set.cat,
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
	w.health.files(w.troubles, w.start)
	w.cautious.anchor(0)
	w.cautious.anchor(w.clock())
	return w, nil
}

// clock is the time since the watcher was made, which no change of the wall clock affects.
func (w *Watcher) clock() time.Duration { return time.Since(w.start) }

// at tells a test how far a file has come.
func (w *Watcher) at(step string) {
	if w.step != nil {
		w.step(step)
	}
}
