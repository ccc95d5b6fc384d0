package httpserver

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the metrics of one listener. Every series exists from the start.
type metrics struct {
	requests *prometheus.CounterVec // by route and status class
	dropped  *prometheus.CounterVec // by reason
	routes   []string
}

// otherRoute is the label for unknown paths.
const otherRoute = "other"

// classes are the status classes.
var classes = []string{"2xx", "3xx", "4xx", "5xx"}

func newMetrics(listener string, routes []string, open func() float64) (*metrics, []prometheus.Collector) {
	labels := prometheus.Labels{"listener": listener}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backburn_http_requests_total", Help: "Answered requests, by route and status class.", ConstLabels: labels,
		}, []string{"route", "code"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backburn_http_connections_dropped_total", Help: "Connections closed because of a limit.", ConstLabels: labels,
		}, []string{"reason"}),
		routes: routes,
	}
	for _, code := range classes {
		for _, route := range append([]string{otherRoute}, routes...) {
			m.requests.WithLabelValues(route, code)
		}
	}
	for _, why := range dropReasons {
		m.dropped.WithLabelValues(string(why))
	}
	connections := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "backburn_http_connections", Help: "Open connections.", ConstLabels: labels,
	}, open)

	return m, []prometheus.Collector{m.requests, m.dropped, connections}
}

// route returns the listed route of a path: the path itself, or a route that ends with a slash and
// is a prefix of the path.
func (m *metrics) route(path string) string {
	for _, route := range m.routes {
		if path == route || len(route) > 1 && strings.HasSuffix(route, "/") && strings.HasPrefix(path, route) {
			return route
		}
	}

	return otherRoute
}

// countRequests counts the responses of a handler.
func (m *metrics) countRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &recorder{ResponseWriter: w}
		defer func() {
			class := strconv.Itoa(max(out.status, 200)/100) + "xx"
			m.requests.WithLabelValues(m.route(r.URL.Path), class).Inc()
		}()
		next.ServeHTTP(out, r)
	})
}

// recorder records the status of a response.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status < 200 { // ignore informational responses
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status < 200 {
		r.status = http.StatusOK
	}

	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController access the wrapped writer.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
