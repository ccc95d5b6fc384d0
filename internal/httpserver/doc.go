// Package httpserver is the one life cycle of every HTTP listener: limits, names, TLS, basic
// authentication, metrics, and a stop in good order. Who uses it brings a handler.
//
// Every limit holds before anybody has shown who he is. There are only so many connections, in all
// and for each client address, and a connection that has sent no complete header makes room for a
// new one. Headers and bodies have deadlines, and so has an answer that nobody reads. A handler
// that needs more time moves the deadlines of its own request, by http.ResponseController.
//
// A request must name in Host a host that the listener answers to, so that no page in a browser can
// read it by a name that resolves to us (DNS rebinding). What a browser marks as asked for by a
// page of another site is refused.
//
// TLS and basic authentication are those of the Prometheus exporter toolkit's web configuration
// file, which is read again for every connection and request.
package httpserver
