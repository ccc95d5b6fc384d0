package worker

import (
	"backburn/pipeline"
)

// applyPolicy applies the policy to a job. The job's contents must have been examined.
func (w *Worker) applyPolicy(d *delivery) {
	var types []string
	if d.Job.Kind == pipeline.KindFile && w.config().NeedsTypes() {
		types = pipeline.TypesOf(d.head.bytes)
	}

	d.ruling = w.config().RulingFor(pipeline.FactsOf(d.Job, types), d.Job)
	if d.ruling.Priority != "" {
		d.Job.Priority = d.ruling.Priority
	}
}
