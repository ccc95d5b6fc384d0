package wildfire

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Defaults of DefaultConfig.
const (
	// DefaultBaseURL is the global cloud, located in the USA.
	DefaultBaseURL = "https://wildfire.paloaltonetworks.com"

	// DefaultMaxFileSize is the public cloud's documented "100 MB" read conservatively, in bytes.
	DefaultMaxFileSize = 100_000_000

	// DefaultStallTimeout is how long a transfer may go without moving a byte.
	DefaultStallTimeout = 30 * time.Second

	// DefaultAnswerTimeout is how long an answer may take once the request has gone out.
	DefaultAnswerTimeout = 2 * time.Minute

	// DefaultExpectContinue is the size of an upload, in bytes, from which on it waits for the service's
	// go-ahead before the contents are sent.
	DefaultExpectContinue = 1 << 20

	// DefaultMaxDownload bounds a sample, capture or report, in bytes.
	DefaultMaxDownload = 1 << 30

	// DefaultUserAgent names this package.
	DefaultUserAgent = "backburn-wildfire/1"
)

const apiPath = "/publicapi"

// Config says where the service is and how to deal with it. The zero value of a limit or a timeout
// switches it off; start from DefaultConfig.
type Config struct {
	// BaseURL is the host's root, such as https://eu.wildfire.paloaltonetworks.com; /publicapi is added unless
	// it is there. Verdicts exist only in the region that a sample was submitted to. Plain http is refused,
	// except to a loopback address or with AllowHTTP.
	BaseURL string

	// APIKey sends what the TokenSource gives as the legacy form field "apikey" instead of an Authorization
	// header. The WF-500 appliance knows nothing else.
	APIKey bool

	// Agent is the form field "agent": which product a legacy key belongs to ("pcc" for Prisma Cloud
	// Compute, "prismaaccessapi" for Prisma Access). Empty sends none.
	Agent string

	// UserAgent is the request header; empty sends DefaultUserAgent.
	UserAgent string

	// MaxFileSize refuses larger files without sending them, in bytes. A file of exactly this size is fine.
	MaxFileSize int64

	// StallTimeout ends an upload or a download on which no byte moved for so long.
	StallTimeout time.Duration

	// AnswerTimeout bounds the time from the end of the request to the end of its answer; for a download, to
	// the start of its answer.
	AnswerTimeout time.Duration

	// ExpectContinue is the upload size, in bytes, from which on "Expect: 100-continue" is sent, so that a
	// refusal costs no transfer. An upload of this size is also sent again once if its connection breaks
	// before the contents are out.
	ExpectContinue int64

	// MaxDownload bounds what is written by one download, in bytes.
	MaxDownload int64

	// AllowHTTP permits an unencrypted BaseURL that is not a loopback address.
	AllowHTTP bool

	// Network is used to build the transport when Transport is nil.
	Network TransportConfig

	// Transport replaces the transport built from Network; share one between this client and a token
	// source by giving both the result of NewTransport. Redirects are not followed either way.
	Transport http.RoundTripper
}

// DefaultConfig returns a configuration for the global cloud with every limit set.
func DefaultConfig() Config {
	return Config{
		BaseURL:        DefaultBaseURL,
		UserAgent:      DefaultUserAgent,
		MaxFileSize:    DefaultMaxFileSize,
		StallTimeout:   DefaultStallTimeout,
		AnswerTimeout:  DefaultAnswerTimeout,
		ExpectContinue: DefaultExpectContinue,
		MaxDownload:    DefaultMaxDownload,
		Network:        DefaultTransportConfig(),
	}
}

// Validate reports all problems of the configuration at once.
func (c Config) Validate() error {
	var problems []error
	if _, err := c.endpoint(); err != nil {
		problems = append(problems, err)
	}
	for _, limit := range []struct {
		name  string
		value int64
	}{
		{"max_file_size", c.MaxFileSize},
		{"stall_timeout", int64(c.StallTimeout)},
		{"answer_timeout", int64(c.AnswerTimeout)},
		{"expect_continue", c.ExpectContinue},
		{"max_download", c.MaxDownload},
	} {
		if limit.value < 0 {
			problems = append(problems, fmt.Errorf("%s: must not be negative (0 switches it off)", limit.name))
		}
	}
	if strings.ContainsAny(c.UserAgent, "\r\n") {
		problems = append(problems, errors.New("user_agent: must be a single line"))
	}
	if strings.ContainsAny(c.Agent, "\r\n") {
		problems = append(problems, errors.New("agent: must be a single line"))
	}
	return errors.Join(problems...)
}

// endpoint returns BaseURL with /publicapi and without a trailing slash.
func (c Config) endpoint() (string, error) {
	u, err := url.Parse(c.BaseURL)
	if err != nil {
		// The parser's error repeats the URL, which may hold a password.
		return "", errors.New("url: not a URL")
	}
	switch {
	case u.Scheme != "https" && u.Scheme != "http":
		return "", errors.New("url: must start with https://")
	case u.Host == "" || u.Hostname() == "":
		return "", errors.New("url: has no host")
	case u.User != nil:
		return "", errors.New("url: must not hold credentials")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("url: must not have a query or a fragment")
	case u.Scheme == "http" && !c.AllowHTTP && !isLoopback(u.Hostname()):
		return "", errors.New("url: plain http would send the credentials unencrypted; use https://")
	}
	path := strings.TrimRight(u.EscapedPath(), "/")
	if !strings.HasSuffix(path, apiPath) {
		path += apiPath
	}
	return u.Scheme + "://" + u.Host + path, nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}
