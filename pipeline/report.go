package pipeline

import (
	"encoding/json"
	"time"

	"backburn/results"
	"backburn/wildfire"
)

// ReportEvent returns the event with the report about a job's contents. final is the job's final
// event. ReportEvent shortens the report's lists until the report's JSON has at most limit bytes,
// and at most results.MaxReportBytes, or the lists are empty.
func ReportEvent(final results.Event, r results.Report, at time.Time, limit int) results.Event {
	ev := final
	ev.Type = results.Reported
	ev.Time = at.UTC()

	limit = min(limit, results.MaxReportBytes)
	for n := results.MaxReportEntries; ; n /= 2 {
		short := truncateLists(r, n)
		if body, err := json.Marshal(short); err == nil && len(body) <= limit || n == 0 {
			ev.Data.Report = &short
			return ev
		}
	}
}

// MissingReport returns the report for the event if WildFire has none.
func MissingReport() results.Report { return results.Report{Status: results.ReportMissing} }

// AvailableReport converts WildFire's report to the form that events have. It shortens nothing.
// kept are the documents about the sample that are stored.
func AvailableReport(r wildfire.Report, kept []string) results.Report {
	return results.Report{
		Status:       results.ReportAvailable,
		Kept:         kept,
		Malware:      r.Malware,
		Signer:       r.Signer,
		SHA1:         r.SHA1,
		Platforms:    convertAll(r.Platforms, func(p wildfire.Platform) results.ReportPlatform { return results.ReportPlatform(p) }),
		Behaviors:    convertAll(r.Behaviors, behavior),
		Processes:    convertAll(r.Processes, process),
		FilesWritten: r.FilesWritten,
		RegistryKeys: convertAll(r.RegistryKeys, func(k wildfire.RegistryKey) results.ReportRegistry { return results.ReportRegistry(k) }),
		Dropped:      convertAll(r.Dropped, func(f wildfire.DroppedFile) results.ReportFile { return results.ReportFile(f) }),
		Mutexes:      r.Mutexes,
		Connections:  convertAll(r.Connections, func(c wildfire.Connection) results.ReportConnection { return results.ReportConnection(c) }),
		Domains:      r.Domains,
		IPs:          r.IPs,
		URLs:         r.URLs,
		UserAgents:   r.UserAgents,
		Truncated:    r.Truncated,
	}
}

func behavior(b wildfire.Behavior) results.ReportBehavior {
	return results.ReportBehavior{
		ID:       b.ID,
		Text:     b.Text,
		Details:  b.Details,
		Kind:     b.Kind,
		Severity: b.Score,
	}
}

func process(p wildfire.Process) results.ReportProcess {
	return results.ReportProcess{Name: p.Name, Command: p.Command}
}

func convertAll[T, U any](list []T, convert func(T) U) []U {
	var out []U
	for _, one := range list {
		out = append(out, convert(one))
	}

	return out
}

// truncateLists keeps at most n entries of each list.
func truncateLists(r results.Report, n int) results.Report {
	truncate(&r, &r.Platforms, n)
	truncate(&r, &r.Behaviors, n)
	truncate(&r, &r.Processes, n)
	truncate(&r, &r.FilesWritten, n)
	truncate(&r, &r.RegistryKeys, n)
	truncate(&r, &r.Dropped, n)
	truncate(&r, &r.Mutexes, n)
	truncate(&r, &r.Connections, n)
	truncate(&r, &r.Domains, n)
	truncate(&r, &r.IPs, n)
	truncate(&r, &r.URLs, n)
	truncate(&r, &r.UserAgents, n)

	return r
}

func truncate[T any](r *results.Report, list *[]T, n int) {
	if len(*list) > n {
		*list = (*list)[:n:n]
		r.Truncated = true
	}
}
