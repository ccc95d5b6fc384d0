// Package proxy tells the answer of an HTTP proxy from that of the server behind it.
package proxy

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
)

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
