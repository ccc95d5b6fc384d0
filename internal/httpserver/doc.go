// Package httpserver runs every HTTP listener: limits, host names, TLS, basic authentication,
// metrics, and a graceful stop. Its users provide a handler.
//
// All limits apply before authentication. The number of connections is limited, in total and for
// each client address. A connection without a complete request header makes way for a new one.
// Headers, bodies and responses have deadlines. A handler that needs more time can extend the
// deadlines of its own request with http.ResponseController.
//
// The Host of a request must be one of the listener's names, so that a web page cannot read
// responses through a name that resolves to this machine (DNS rebinding). Requests that a browser
// marks as coming from another site are refused, except those for pages (Options.Links).
//
// TLS and basic authentication use the web configuration file of the Prometheus exporter toolkit,
// which is read again for each connection and request.
package httpserver
