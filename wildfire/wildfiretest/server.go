package wildfiretest

import (
	"sync"
	"time"

	"backburn/wildfire"
)

// Server simulates WildFire and its token service. It is an http.Handler; Start serves it.
//
// A path in front of /publicapi, as in http://127.0.0.1:8080/eu/publicapi/submit/file, names a
// region; so does the first label of a host such as eu.wildfire.paloaltonetworks.com. Regions share
// credentials and quotas, but not samples.
type Server struct {
	now         func() time.Time
	seed        uint64
	delay       time.Duration
	jitter      time.Duration
	unknownFor  time.Duration
	reportLag   time.Duration
	resetLag    time.Duration
	latency     time.Duration
	uploadQuota int
	queryQuota  int
	maxFileSize int64
	maxSamples  int
	maxCalls    int
	phrases     bool
	httpsOnly   bool
	planFor     func(Sample) (Plan, bool)
	auth        accounts

	mu       sync.Mutex // guards everything below, and the quotas
	style    Style
	samples  map[sampleKey]*storedSample
	byMD5    map[sampleKey][]*storedSample
	order    []sampleKey // oldest first, starting at head
	head     int
	spent    map[string]*usage // by owner, see accounts.owner
	rules    []*rule
	ruleID   int
	log      []Call // the newest calls, as a ring
	calls    int    // number of all calls
	counts   map[wildfire.Op]int
	statuses map[statusKey]int
	changed  chan struct{} // closed and replaced with every call
	tests    int           // number of test files so far
}

// Option configures a Server.
type Option func(*Server)

// usage counts the successful calls of a credential on one day.
type usage struct {
	day              string
	uploads, queries int
}

// New returns a server.
func New(opts ...Option) *Server {
	s := &Server{
		now:         time.Now,
		seed:        1,
		delay:       30 * time.Second,
		jitter:      270 * time.Second,
		unknownFor:  time.Second,
		maxFileSize: wildfire.DefaultMaxFileSize,
		maxSamples:  200_000,
		maxCalls:    10_000,
		phrases:     true,
		auth:        newAccounts(),
		samples:     make(map[sampleKey]*storedSample),
		byMD5:       make(map[sampleKey][]*storedSample),
		spent:       make(map[string]*usage),
		counts:      make(map[wildfire.Op]int),
		statuses:    make(map[statusKey]int),
		changed:     make(chan struct{}),
	}
	for _, option := range opts {
		option(s)
	}

	return s
}

// SetStyle changes the format of all later answers.
func (s *Server) SetStyle(style Style) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.style = style
}

const (
	apiPrefix = "/publicapi/"
	// TokenPath is the path of the token service. Its other documented paths work too.
	TokenPath = "/am/oauth2/access_token"
)
