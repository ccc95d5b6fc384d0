package clamd

import (
	"github.com/prometheus/client_golang/prometheus"

	"backburn/internal/local"
)

// The values of the label "answer".
const (
	answeredOK      = "ok"
	answeredFound   = "found"
	answeredUnknown = "unknown"
	answeredError   = "error"
)

type metrics struct{ answers *prometheus.CounterVec }

func newMetrics(reg prometheus.Registerer, l *local.Listener) (metrics, error) {
	m := metrics{answers: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "backburn_clamd_answers_total",
		Help: "Contents that clients asked about: ok or found with a verdict, unknown without one, error if they could not be judged.",
	}, []string{"answer"})}
	for _, a := range []string{answeredOK, answeredFound, answeredUnknown, answeredError} {
		m.answers.WithLabelValues(a)
	}
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "backburn_clamd_connections", Help: "Open connections of clamd clients.",
	}, func() float64 { return float64(l.Open()) })
	if err := reg.Register(m.answers); err != nil {
		return m, err
	}

	return m, reg.Register(open)
}
