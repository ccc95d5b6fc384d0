package wildfire

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"backburn/internal/loopback"
)

// Defaults of DefaultConfig.
const (
	// DefaultBaseURL is the global cloud, located in the USA.
	DefaultBaseURL = "https://wildfire.paloaltonetworks.com"

	// DefaultMaxFileSize is the documented limit of the public cloud, "100 MB", in bytes. A MB is
	// taken as 1,000,000 bytes, not 1,048,576.
	DefaultMaxFileSize = 100_000_000

	// DefaultStallTimeout is how long a transfer may make no progress.
	DefaultStallTimeout = 30 * time.Second

	// DefaultAnswerTimeout limits the time from the end of the request to the end of the answer;
	// see Config.AnswerTimeout.
	DefaultAnswerTimeout = 2 * time.Minute

	// DefaultExpectContinue is the size, in bytes, from which an upload waits for the service's
	// "100 Continue" before sending the contents.
	DefaultExpectContinue = 1 << 20

	// DefaultMaxDownload is the most that one download writes, in bytes.
	DefaultMaxDownload = 1 << 30

	// DefaultUserAgent identifies this package.
	DefaultUserAgent = "backburn-wildfire/1"
)

const apiPath = "/publicapi"

// Config has the address of the service and the client's limits. The zero value of a limit or a
// timeout disables it; start from DefaultConfig. The tags hold the keys in Backburn's configuration
// file, and what its reference says about them.
type Config struct {
	// BaseURL is the address of the service, such as https://eu.wildfire.paloaltonetworks.com.
	// /publicapi is appended unless the URL ends with it. A verdict exists only in the region to
	// which the sample was submitted. Plain http is refused, except to a loopback address or with
	// AllowHTTP.
	BaseURL string `toml:"url" doc:"Base URL of the service. A verdict exists only in the region to which the sample was submitted."`

	// APIKey sends the TokenSource's token in the legacy form field "apikey" instead of an
	// Authorization header. The WF-500 appliance supports nothing else.
	APIKey bool

	// Agent is the form field "agent". It says which product a legacy key belongs to: "pcc" for
	// Prisma Cloud Compute, "prismaaccessapi" for Prisma Access. If it is empty, the field is not
	// sent.
	Agent string `toml:"agent" doc:"Legacy keys only: \"pcc\" (Prisma Cloud Compute) or \"prismaaccessapi\" (Prisma Access)."`

	// UserAgent is the header User-Agent. The default is DefaultUserAgent.
	UserAgent string

	// MaxFileSize is the size of the largest file that is sent, in bytes.
	MaxFileSize int64

	// StallTimeout ends an upload or a download that makes no progress for this long.
	StallTimeout time.Duration `toml:"stall_timeout" doc:"An upload is aborted if no byte is sent for this long. \"0s\": never."`

	// AnswerTimeout limits the time from the end of the request to the end of the answer. For a
	// call other than SubmitFile it begins before the connection is made, because the request is
	// small. For reports and downloads it ends with the start of the answer, and StallTimeout
	// applies after that.
	AnswerTimeout time.Duration

	// ExpectContinue is the file size, in bytes, from which an upload has the header "Expect:
	// 100-continue", so that WildFire can refuse the file before it is sent. An upload of at least
	// this size is also repeated once if the connection breaks before all contents are sent.
	ExpectContinue int64

	// MaxDownload is the most that one download writes, in bytes.
	MaxDownload int64

	// AllowHTTP permits an unencrypted BaseURL that is not a loopback address.
	AllowHTTP bool

	// Network describes the transport that New builds if Transport is nil.
	Network TransportConfig `toml:",inline"`

	// Transport replaces the transport that New builds. To share a transport between this client
	// and a token source, give both the result of NewTransport. Redirects are never followed.
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

// Check calls bad for each key that has an invalid value, except those in Network. The arguments
// are the key, the values that are allowed, and the other keys on which the rule depends, if any.
// The value itself is never an argument, because a URL may contain a password.
func (c Config) Check(bad func(key, expected string, related ...string)) {
	if _, err := c.endpoint(); err != nil {
		bad("url", err.Error())
	}

	for _, limit := range []struct {
		key   string
		value int64
	}{
		{"max_file_size", c.MaxFileSize},
		{"stall_timeout", int64(c.StallTimeout)},
		{"answer_timeout", int64(c.AnswerTimeout)},
		{"expect_continue", c.ExpectContinue},
		{"max_download", c.MaxDownload},
	} {
		if limit.value < 0 {
			bad(limit.key, "0 (off) or more")
		}
	}

	if strings.ContainsAny(c.UserAgent, "\r\n") {
		bad("user_agent", "a single line")
	}
	if strings.ContainsAny(c.Agent, "\r\n") {
		bad("agent", "a single line")
	}
}

// Validate returns everything that Check finds as one error; each line begins with the key.
func (c Config) Validate() error {
	var problems []error
	c.Check(func(key, expected string, _ ...string) {
		problems = append(problems, fmt.Errorf("%s: expected %s", key, expected))
	})

	return errors.Join(problems...)
}

// endpoint returns BaseURL with /publicapi and without a trailing slash. Its error says only what
// is allowed, because the URL may contain a password.
func (c Config) endpoint() (string, error) {
	u, err := url.Parse(c.BaseURL)
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Hostname() == "":
		return "", errors.New(`an address such as "https://host/path"`)
	case u.User != nil:
		return "", errors.New("no user or password in the address")
	case u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("no query or fragment in the address")
	case u.Scheme == "http" && !c.AllowHTTP && !loopback.Host(u.Hostname()):
		return "", errors.New("https, because credentials are sent there (http is allowed for loopback addresses only)")
	}

	path := strings.TrimRight(u.EscapedPath(), "/")
	if !strings.HasSuffix(path, apiPath) {
		path += apiPath
	}

	return u.Scheme + "://" + u.Host + path, nil
}
