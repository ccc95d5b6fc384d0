package wildfiretest

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"backburn/wildfire"
)

// Server simulates WildFire and its token service. It is an http.Handler; Start serves it.
//
// A path in front of /publicapi, as in http://127.0.0.1:8080/eu/publicapi/submit/file, names a
// region; so does the first label of a host such as eu.wildfire.paloaltonetworks.com. Regions share
// credentials and quotas, and know nothing of each other's samples.
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

	mu       sync.Mutex // guards everything below
	style    Style
	samples  map[sampleKey]*known
	byMD5    map[sampleKey][]*known
	order    []sampleKey // oldest first; from head on
	head     int
	spent    map[string]*budget
	rules    []*rule
	ruleID   int
	log      []Call
	calls    int
	counts   map[wildfire.Op]int
	statuses map[statusKey]int
	changed  chan struct{} // closed and replaced with every call
	tests    int
}

// New makes a server.
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
		samples:     make(map[sampleKey]*known),
		byMD5:       make(map[sampleKey][]*known),
		spent:       make(map[string]*budget),
		counts:      make(map[wildfire.Op]int),
		statuses:    make(map[statusKey]int),
		changed:     make(chan struct{}),
	}
	for _, option := range opts {
		option(s)
	}
	return s
}

// SetStyle changes the spelling of all answers from now on.
func (s *Server) SetStyle(style Style) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.style = style
}

const (
	apiPrefix = "/publicapi/"
	// TokenPath is where the token service is; it answers at its other documented spellings as
	// well.
	TokenPath = "/am/oauth2/access_token"
)

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &exchange{server: s, w: w, r: r}
	s.mu.Lock()
	x.style = s.style
	s.mu.Unlock()
	switch r.URL.Path {
	case TokenPath, "/oauth2/access_token", "/auth/v1/oauth2/access_token":
		x.call.Op = OpToken
		x.run(x.token)
		return
	}
	region, path, ok := strings.Cut(r.URL.Path, apiPrefix)
	if x.elsewhere(path) {
		return
	}
	if !ok {
		x.refuse(http.StatusNotFound, "")
		return
	}
	x.call.Region = regionOf(region, r.Host)
	if kind, ok := strings.CutPrefix(path, "test/"); ok {
		x.call.Op = wildfire.OpTestFile
		x.run(func() { x.testFile(kind) })
		return
	}
	op := wildfire.Op(strings.TrimSuffix(path, "/"))
	handle, ok := operations[op]
	if !ok {
		x.refuse(http.StatusNotFound, "")
		return
	}
	x.call.Op = op
	x.run(func() { handle(x) })
}

// elsewhere redirects who is at the wrong place: unencrypted calls to HTTPS, and visitors of the
// root to the portal. It reports whether it did.
func (x *exchange) elsewhere(path string) bool {
	var location string
	switch {
	case x.server.httpsOnly && !encrypted(x.r) && !strings.HasPrefix(path, "test/"):
		location = "https://" + x.r.Host + "/"
	case x.r.URL.Path == "/":
		location = "/wildfire/dashboard"
	default:
		return false
	}
	x.w.Header().Set("Location", location)
	x.send(http.StatusFound, "", nil)

	return true
}

var operations = map[wildfire.Op]func(*exchange){
	wildfire.OpSubmitFile:         (*exchange).submitFile,
	wildfire.OpSubmitURL:          (*exchange).submitURL,
	wildfire.OpSubmitLink:         (*exchange).submitLink,
	wildfire.OpSubmitLinks:        (*exchange).submitLinks,
	wildfire.OpChangeRequest:      (*exchange).changeRequest,
	wildfire.OpLocalVerdictChange: (*exchange).localVerdictChange,
	wildfire.OpVerdict:            (*exchange).verdict,
	wildfire.OpVerdicts:           (*exchange).verdicts,
	wildfire.OpVerdictsChanged:    (*exchange).verdictsChanged,
	wildfire.OpReport:             (*exchange).report,
	wildfire.OpSample:             (*exchange).sample,
	wildfire.OpPCAP:               (*exchange).pcap,
	wildfire.OpWebArtifacts:       (*exchange).webArtifacts,
}

// regionOf names the region of a call, "" for the default one.
func regionOf(prefix, host string) string {
	if region := strings.Trim(prefix, "/"); region != "" {
		return region
	}
	if label, rest, ok := strings.Cut(host, "."); ok && strings.HasPrefix(rest, "wildfire.") {
		return label
	}
	return ""
}
