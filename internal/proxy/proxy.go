// Package proxy checks the addresses of HTTP proxies, and tells a proxy's answer from that of the
// server behind it.
package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// CheckEnvironment returns an error if HTTPS_PROXY is not usable: http.ProxyFromEnvironment would
// ignore it, so calls would go around the proxy. As there, the scheme may be missing, and
// https_proxy counts if HTTPS_PROXY is empty.
func CheckEnvironment() error {
	address := cmp.Or(os.Getenv("HTTPS_PROXY"), os.Getenv("https_proxy"))
	if address == "" {
		return nil
	}
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	if _, err := Parse(address); err != nil {
		return fmt.Errorf("the environment variable HTTPS_PROXY: %w", err)
	}

	return nil
}

// Parse parses a proxy's URL. Its error does not repeat the URL, which may have a password.
func Parse(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return nil, errors.New("not a URL")
	}

	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u, nil
	}

	return nil, fmt.Errorf("scheme %q: must be http, https or socks5", u.Scheme)
}

// Refusal is the error of a call for which the proxy did not connect to the server. net/http alone
// returns only the text of the status, such as "Forbidden", which looks like the server's answer.
type Refusal struct{ Status int }

func (r *Refusal) Error() string {
	return "the proxy refuses to connect to the server: " + strconv.Itoa(r.Status) + " " + http.StatusText(r.Status)
}

// CheckConnect returns a *Refusal if the proxy's answer to CONNECT is not 200. It is an
// http.Transport's OnProxyConnectResponse.
func CheckConnect(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
	if answer.StatusCode == http.StatusOK {
		return nil
	}

	return &Refusal{Status: answer.StatusCode}
}
