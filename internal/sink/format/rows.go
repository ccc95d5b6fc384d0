package format

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"backburn/results"
)

// row maps one field of an event to each format. "" means that the format has no such field.
type row struct {
	field string // name of the CloudEvent field
	value func(event) any
	ecs   []string // paths
	ocsf  []string // paths; a number is an array index
	cef   string   // key
	label string   // label of the CEF custom field; "": the one in labels
	note  string   // for docs/formats.md
}

// labelOf returns the label of the row's CEF custom field; "" for standard fields.
func (r row) labelOf() string { return cmp.Or(r.label, labels[r.cef]) }

// jobRows maps the fields of job events, and those that every event has. Values that are "", 0, nil
// or the zero time are left out.
var jobRows = []row{
	{
		field: "time",
		value: func(e event) any { return e.Time },
		ecs:   []string{"@timestamp"},
		ocsf:  []string{"time"},
		cef:   "rt",
	},
	{
		field: "source and id",
		value: func(e event) any { return e.identity() },
		ecs:   []string{"event.id"},
		ocsf:  []string{"metadata.uid"},
		cef:   "cs1",
		note:  "`<data.source>/<id>`, the same each time an event is delivered",
	},
	{
		field: "type",
		value: func(e event) any { return e.Type.Name() },
		ecs:   []string{"event.action"},
		ocsf:  []string{"metadata.event_code"},
		cef:   "act",
		note:  "submitted, verdict, failed, changed, report or audit",
	},
	{
		field: "data.job_id",
		value: func(e event) any { return e.jobRef() },
		ecs:   []string{"backburn.job"},
		ocsf:  []string{"finding_info.uid"},
		note:  "`<data.source>/<data.job_id>`",
	},
	{
		field: "data.source",
		value: func(e event) any { return e.Data.Source },
		ecs:   []string{"backburn.source"},
		ocsf:  []string{"unmapped.source"},
		cef:   "cs2",
	},
	{
		field: "data.filename",
		value: func(e event) any { return e.Data.Filename },
		ecs:   []string{"file.name"},
		ocsf:  []string{"evidences.0.file.name"},
		cef:   "fname",
	},
	{
		field: "data.filename, its extension",
		value: func(e event) any { return extension(e.Data.Filename) },
		ecs:   []string{"file.extension"},
	},
	{
		field: "data.filename_b64",
		value: func(e event) any { return e.Data.FilenameB64 },
		ecs:   []string{"backburn.filename_b64"},
		ocsf:  []string{"unmapped.filename_b64"},
		note:  "names that are not UTF-8",
	},
	{
		field: "data.path",
		value: func(e event) any { return e.Data.Path },
		ecs:   []string{"file.path"},
		ocsf:  []string{"evidences.0.file.path"},
		cef:   "filePath",
	},
	{
		field: "data.path_b64",
		value: func(e event) any { return e.Data.PathB64 },
		ecs:   []string{"backburn.path_b64"},
		ocsf:  []string{"unmapped.path_b64"},
	},
	{
		field: "data.size",
		value: func(e event) any { return e.Data.Size },
		ecs:   []string{"file.size"},
		ocsf:  []string{"evidences.0.file.size"},
		cef:   "fsize",
		note:  "in bytes",
	},
	{
		field: "data.sha256",
		value: func(e event) any { return e.Data.SHA256 },
		ecs:   []string{"file.hash.sha256", "related.hash.0"},
		ocsf:  []string{"evidences.0.file.hashes.0.value"},
		cef:   "fileHash",
	},
	{
		field: "data.md5",
		value: func(e event) any { return e.Data.MD5 },
		ecs:   []string{"file.hash.md5", "related.hash.1"},
		ocsf:  []string{"evidences.0.file.hashes.1.value"},
		cef:   "cs5",
	},
	{
		field: "data.filetype",
		value: func(e event) any { return e.Data.Filetype },
		ecs:   []string{"backburn.filetype"},
		ocsf:  []string{"unmapped.filetype"},
		cef:   "fileType",
		note:  "WildFire's words",
	},
	{
		field: "data.url",
		value: func(e event) any { return e.Data.URL },
		ecs:   []string{"url.original", "url.full"},
		ocsf:  []string{"evidences.0.url.url_string"},
		cef:   "request",
	},
	{
		field: "data.verdict",
		value: func(e event) any { return e.Data.Verdict },
		ecs:   []string{"backburn.verdict"},
		ocsf:  []string{"finding_info.types.0"},
		cef:   "cs3",
	},
	{
		field: "data.verdict_code",
		value: func(e event) any { return e.Data.VerdictCode },
		ecs:   []string{"backburn.verdict_code"},
		ocsf:  []string{"unmapped.verdict_code"},
	},
	{
		field: "data.basis",
		value: func(e event) any { return string(e.Data.Basis) },
		ecs:   []string{"backburn.basis"},
		ocsf:  []string{"unmapped.basis"},
		cef:   "cs4",
	},
	{
		field: "data.received_at",
		value: func(e event) any { return e.Data.ReceivedAt },
		ecs:   []string{"event.start"},
		ocsf:  []string{"start_time"},
		cef:   "start",
	},
	{
		field: "data.submitted_at",
		value: func(e event) any { return e.Data.SubmittedAt },
		ecs:   []string{"backburn.submitted_at"},
		ocsf:  []string{"unmapped.submitted_at"},
		cef:   "deviceCustomDate1",
	},
	{
		field: "data.decided_at",
		value: func(e event) any { return e.Data.DecidedAt },
		ecs:   []string{"event.end"},
		ocsf:  []string{"end_time"},
		cef:   "end",
	},
	{
		field: "data.attempts",
		value: func(e event) any { return int64(e.Data.Attempts) },
		ecs:   []string{"backburn.attempts"},
		ocsf:  []string{"unmapped.attempts"},
		cef:   "cn1",
	},
	{
		field: "data.error.reason",
		value: func(e event) any { return string(e.failure().Reason) },
		ecs:   []string{"error.code", "event.reason"},
		ocsf:  []string{"status_code"},
		cef:   "reason",
	},
	{
		field: "data.error.message",
		value: func(e event) any { return e.failure().Message },
		ecs:   []string{"error.message"},
		ocsf:  []string{"status_detail"},
		cef:   "msg",
	},
	{
		field: "data.error.http_status",
		value: func(e event) any { return int64(e.failure().HTTPStatus) },
		ecs:   []string{"http.response.status_code"},
		ocsf:  []string{"unmapped.http_status"},
		cef:   "cn2",
	},
	{
		field: "data.metadata",
		value: func(e event) any { return e.Data.Metadata },
		ecs:   []string{"labels"},
		ocsf:  []string{"unmapped.metadata"},
		cef:   "cs6",
		note:  "ECS: `.` and `*` in names become `_`; CEF: as JSON",
	},
	{
		field: "data.report.status",
		value: func(e event) any { return string(e.report().Status) },
		ecs:   []string{"backburn.report.status"},
		ocsf:  []string{"unmapped.report.status"},
		cef:   "flexString1",
	},
	{
		field: "data.report.domains",
		value: func(e event) any { return e.report().Domains },
		ecs:   []string{"related.hosts", "backburn.report.domains"},
		ocsf:  []string{"unmapped.report.domains"},
		note:  "OCSF: also in `observables`",
	},
	{
		field: "data.report.ips",
		value: func(e event) any { return e.report().IPs },
		ecs:   []string{"related.ip", "backburn.report.ips"},
		ocsf:  []string{"unmapped.report.ips"},
		note:  "OCSF: also in `observables`",
	},
	{
		field: "data.report.urls",
		value: func(e event) any { return e.report().URLs },
		ecs:   []string{"backburn.report.urls"},
		ocsf:  []string{"unmapped.report.urls"},
		note:  "OCSF: also in `observables`",
	},
	{
		field: "data.report.user_agents",
		value: func(e event) any { return e.report().UserAgents },
		ecs:   []string{"backburn.report.user_agents"},
		ocsf:  []string{"unmapped.report.user_agents"},
	},
	{
		field: "data.report.behaviors[].text",
		value: func(e event) any { return e.behaviors() },
		ecs:   []string{"backburn.report.behaviors"},
		ocsf:  []string{"unmapped.report.behaviors"},
	},
	{
		field: "data.report.dropped[].sha256",
		value: func(e event) any { return e.dropped() },
		ecs:   []string{"backburn.report.dropped"},
		ocsf:  []string{"unmapped.report.dropped"},
	},
	{
		field: "data.report, its indicators",
		value: func(e event) any { return strings.Join(e.indicators(), " ") },
		cef:   "flexString2",
		note:  "domains, IP addresses, then SHA-256 of dropped files, up to the field's size limit",
	},
	{
		field: "backburnsimulated",
		value: func(e event) any { return e.simulated },
		ecs:   []string{"backburn.simulated"},
		ocsf:  []string{"unmapped.simulated"},
		cef:   "cat",
		note:  "CEF: `simulated`",
	},
}

// jobRef returns the source and ID of the job; "" if the event has no job.
func (e event) jobRef() string {
	if e.Data.JobID == "" {
		return ""
	}

	return e.Data.Source + "/" + e.Data.JobID
}

// failure returns the error of a failed event, and an empty value for other events.
func (e event) failure() results.Error { return deref(e.Data.Error) }

// behaviors returns the texts of the report's behaviors.
func (e event) behaviors() []string {
	var texts []string
	for _, b := range e.report().Behaviors {
		texts = append(texts, b.Text)
	}

	return texts
}

// dropped returns the hashes of the files that the sample wrote.
func (e event) dropped() []string {
	var hashes []string
	for _, f := range e.report().Dropped {
		if f.SHA256 != "" {
			hashes = append(hashes, f.SHA256)
		}
	}

	return hashes
}

// indicators returns values to search for. It leaves out URLs, which are long.
func (e event) indicators() []string {
	return slices.Concat(e.report().Domains, e.report().IPs, e.dropped())
}

// labels has the labels of the CEF custom fields of job events.
var labels = map[string]string{
	"cs1": "Event",
	"cs2": "Source",
	"cs3": "Verdict",
	"cs4": "Basis",
	"cs5": "MD5",
	"cs6": "Metadata",
	"cn1": "Attempts",
	"cn2": "HTTP Status",

	"flexString1": "Report",
	"flexString2": "Indicators",

	"deviceCustomDate1": "Submitted",
}

func isSet(v any) bool {
	switch v := v.(type) {
	case time.Time:
		return !v.IsZero()
	case []byte, []string, map[string]string:
		return reflect.ValueOf(v).Len() > 0
	}

	return v != nil && !reflect.ValueOf(v).IsZero()
}

// setPath sets the value at a path of nested JSON objects and, if the path contains a number,
// arrays.
func setPath(node any, path []string, v any) any {
	if len(path) == 0 {
		return v
	}
	if i, err := strconv.Atoi(path[0]); err == nil {
		list, _ := node.([]any)
		for len(list) <= i {
			list = append(list, nil)
		}
		list[i] = setPath(list[i], path[1:], v)
		return list
	}

	object, _ := node.(map[string]any)
	if object == nil {
		object = map[string]any{}
	}
	object[path[0]] = setPath(object[path[0]], path[1:], v)

	return object
}
