package health

import "github.com/prometheus/client_golang/prometheus"

// MetricName is the name of the metric with the states of parts.
const MetricName = "backburn_part_state"

// stateDesc describes the metric: one series for each state of each part, of which one is 1.
var stateDesc = prometheus.NewDesc(MetricName, "1 for the state that a part of this process is in, 0 for the others.",
	[]string{"part", "of", "state"}, nil)

// Describe implements prometheus.Collector.
func (r *Registry) Describe(ch chan<- *prometheus.Desc) { ch <- stateDesc }

// Collect implements prometheus.Collector.
func (r *Registry) Collect(ch chan<- prometheus.Metric) {
	for _, p := range r.Parts() {
		for _, s := range States() {
			v := 0.0
			if p.State == s {
				v = 1
			}
			ch <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, v, p.Part, p.Of, string(s))
		}
	}
}
