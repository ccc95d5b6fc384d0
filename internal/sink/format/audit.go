package format

import "slices"

// rows maps the fields of all events.
var rows = slices.Concat(jobRows, auditRows)

// auditRows maps the fields of audit events. Such events have no job, verdict or file, so their
// rows may use the keys of those fields.
var auditRows = []row{
	{
		field: "data.audit.id",
		value: func(e event) any { return e.audit().ID },
		ecs:   []string{"backburn.audit.id"},
		ocsf:  []string{"metadata.correlation_uid"},
		cef:   "externalId",
		note:  "the same for the events of one action",
	},
	{
		field: "data.audit.action",
		value: func(e event) any { return string(e.audit().Action) },
		ecs:   []string{"backburn.audit.action"},
		ocsf:  []string{"api.operation"},
		cef:   "cs3",
		label: "Action",
	},
	{
		field: "data.audit.status",
		value: func(e event) any { return string(e.audit().Status) },
		ecs:   []string{"backburn.audit.status"},
		ocsf:  []string{"status_code"},
		cef:   "cs4",
		label: "Status",
	},
	{
		field: "data.audit.by",
		value: func(e event) any { return e.audit().By },
		ecs:   []string{"user.name", "related.user.0"},
		ocsf:  []string{"actor.user.name"},
		cef:   "suser",
	},
	{
		field: "data.audit.via",
		value: func(e event) any { return e.audit().Via },
		ecs:   []string{"backburn.audit.via"},
		ocsf:  []string{"api.service.name", "src_endpoint.svc_name"},
		cef:   "sourceServiceName",
	},
	{
		field: "data.audit.from",
		value: func(e event) any { return e.audit().From },
		ecs:   []string{"source.address"},
	},
	{
		field: "data.audit.from, an address",
		value: func(e event) any { address, _ := e.auditOrigin(); return address },
		ecs:   []string{"source.ip"},
		ocsf:  []string{"src_endpoint.ip"},
		cef:   "src",
	},
	{
		field: "data.audit.from, a host",
		value: func(e event) any { _, host := e.auditOrigin(); return host },
		ocsf:  []string{"src_endpoint.hostname"},
		cef:   "shost",
	},
	{
		field: "data.audit.letter",
		value: func(e event) any { return int64(e.audit().Letter) },
		ecs:   []string{"backburn.audit.letter"},
		ocsf:  []string{"unmapped.audit.letter"},
		cef:   "cn1",
		label: "Dead Letter",
	},
	{
		field: "data.audit.job",
		value: func(e event) any { return e.audit().Job },
		ecs:   []string{"backburn.job"},
		ocsf:  []string{"unmapped.audit.job"},
		cef:   "cs6",
		label: "Job",
	},
	{
		field: "data.audit.sha256",
		value: func(e event) any { return e.audit().SHA256 },
		ecs:   []string{"file.hash.sha256", "related.hash.0"},
		ocsf:  []string{"unmapped.audit.sha256"},
		cef:   "fileHash",
	},
	{
		field: "data.audit.url",
		value: func(e event) any { return e.audit().URL },
		ecs:   []string{"url.original", "url.full"},
		ocsf:  []string{"unmapped.audit.url"},
		cef:   "request",
	},
	{
		field: "data.audit.until",
		value: func(e event) any { return e.audit().Until },
		ecs:   []string{"backburn.audit.until"},
		ocsf:  []string{"unmapped.audit.until"},
		cef:   "deviceCustomDate1",
		label: "Until",
	},
	{
		field: "data.audit.reason",
		value: func(e event) any { return e.audit().Reason },
		ecs:   []string{"event.reason"},
		ocsf:  []string{"unmapped.audit.reason"},
		cef:   "reason",
	},
	{
		field: "data.audit.result",
		value: func(e event) any { return e.audit().Result },
		ecs:   []string{"backburn.audit.result"},
		ocsf:  []string{"status_detail"},
		cef:   "msg",
	},
}
