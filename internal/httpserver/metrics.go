package httpserver

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of one listener. Every series is there from the start.
type metrics struct {
	requests *prometheus.CounterVec // by route and class of status
	dropped  *prometheus.CounterVec // by reason
	routes   []string
}

// otherRoute stands for paths that are none of ours.
const otherRoute = "other"

// classes are the classes of status codes.
var classes = []string{"2xx", "3xx", "4xx", "5xx"}

func newMetrics(listener string, routes []string, open func() float64) (*metrics, []prometheus.Collector) {
	labels := prometheus.Labels{"listener": listener}
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backburn_http_requests_total", Help: "Requests that were answered, by what was asked for and the class of the status.", ConstLabels: labels,
		}, []string{"route", "code"}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "backburn_http_connections_dropped_total", Help: "Connections that were closed because of a limit.", ConstLabels: labels,
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

// route is the listed route that a path belongs to: itself, or one that ends with a slash and
// begins it.
func (m *metrics) route(path string) string {
	for _, route := range m.routes {
		if path == route || len(route) > 1 && strings.HasSuffix(route, "/") && strings.HasPrefix(path, route) {
			return route
		}
	}

	return otherRoute
}

// counting counts the answers of a handler.
func (m *metrics) counting(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := &recorder{ResponseWriter: w}
		defer func() {
			class := strconv.Itoa(max(out.status, 200)/100) + "xx"
			m.requests.WithLabelValues(m.route(r.URL.Path), class).Inc()
		}()
		next.ServeHTTP(out, r)
	})
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	if r.status < 200 { // what comes before the answer proper does not count
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

// Unwrap lets http.ResponseController at what is beneath.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }
