package format

import (
	"maps"
	"slices"
	"strings"
	"time"

	"backburn/results"
)

// document is a JSON object with fields that are set by dotted paths.
type document map[string]any

// set sets the field at a dotted path.
func (d document) set(path string, v any) {
	setPath(map[string]any(d), strings.Split(path, "."), v)
}

// Names of Backburn and of the analysis service in SIEMs.
const (
	vendor         = "Backburn"
	product        = "Backburn"
	serviceVendor  = "Palo Alto Networks"
	serviceProduct = "WildFire"
)

// ecs encodes the event in the Elastic Common Schema.
func (e event) ecs() document {
	d := document{}
	for _, r := range rows {
		v := r.value(e)
		if !isSet(v) {
			continue
		}
		switch value := v.(type) {
		case time.Time:
			v = value.UTC().Format(time.RFC3339Nano)
		case map[string]string:
			v = ecsLabels(value)
		}
		for _, path := range r.ecs {
			d.set(path, v)
		}
	}

	d.set("ecs.version", ECSVersion)
	d.set("message", e.summary())
	d.set("event.kind", e.ecsKind())
	d.set("event.category", e.ecsCategory())
	d.set("event.type", e.ecsTypes())
	d.set("event.outcome", e.ecsOutcome())
	d.set("event.severity", SeverityOf(e.Event).CEF)
	d.set("event.module", "backburn")
	d.set("event.provider", "backburn")
	d.set("event.dataset", "backburn."+e.Type.Name())
	if e.Type != results.Audited {
		d.set("observer.vendor", serviceVendor)
		d.set("observer.product", serviceProduct)
		d.set("observer.type", "sandbox")
	}
	d.set("service.type", "backburn")
	d.set("service.version", e.version)
	if e.Data.SHA256 != "" {
		d.set("file.type", "file")
		if e.Data.Size == 0 {
			d.set("file.size", 0)
		}
	}
	if e.simulated {
		d.set("tags", []string{"simulated"})
	}

	return d
}

// ecsLabels replaces the characters that names of ECS label fields must not have: dots, which would
// nest the fields, and wildcards. If two names become one, the last in order counts.
func ecsLabels(metadata map[string]string) map[string]string {
	labels := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(metadata)) {
		labels[strings.NewReplacer(".", "_", "*", "_").Replace(name)] = metadata[name]
	}

	return labels
}

func (e event) ecsKind() string {
	switch {
	case e.Type == results.Reported:
		return "enrichment"
	case e.malicious():
		return "alert"
	}

	return "event"
}

func (e event) ecsTypes() []string {
	if e.Type == results.Audited {
		return []string{"change"}
	}

	return []string{"info"}
}

func (e event) ecsCategory() []string {
	if e.Type == results.Audited {
		return []string{"configuration"}
	}
	var categories []string
	if e.malicious() || e.Type == results.Reported {
		categories = append(categories, "malware")
	}
	if e.Data.URL != "" {
		return append(categories, "web")
	}

	return append(categories, "file")
}

func (e event) ecsOutcome() string {
	switch status := e.audit().Status; {
	case e.Type == results.Failed, status == results.AuditFailed:
		return "failure"
	case e.Type == results.Submitted, status == results.AuditRequested:
		return "unknown"
	}

	return "success"
}

// IDs in OCSF: of classes, activities, types and states.
const (
	detectionFinding = 2004
	scanActivity     = 6007
	apiActivity      = 6003

	findingCreate = 1
	findingUpdate = 2
	scanStarted   = 1
	scanError     = 6
	apiCreate     = 1
	apiUpdate     = 3
	apiDelete     = 4
	apiOther      = 99

	sha256Algorithm = 3
	md5Algorithm    = 1
	regularFile     = 1
	otherScan       = 99

	hostObservable     = 1
	ipObservable       = 2
	userObservable     = 4
	urlObservable      = 6
	fileNameObservable = 7
	hashObservable     = 8

	statusNew = 1 // status_id of a finding

	statusUnknown = 0 // status_id of an activity
	statusSuccess = 1
	statusFailure = 2
)

// ocsf encodes the event in the Open Cybersecurity Schema Framework. A verdict is a Detection
// Finding. The start and the failure of an analysis are Scan Activity. That class has no fields for
// a file, so the file's fields are below "unmapped". The action of a person is API Activity.
func (e event) ocsf() document {
	class, activity := detectionFinding, findingCreate
	switch e.Type {
	case results.Changed, results.Reported:
		activity = findingUpdate
	case results.Submitted:
		class, activity = scanActivity, scanStarted
	case results.Failed:
		class, activity = scanActivity, scanError
	case results.Audited:
		class, activity = apiActivity, e.auditActivity()
	}

	d := document{}
	for _, r := range rows {
		v := r.value(e)
		if !isSet(v) {
			continue
		}
		if t, ok := v.(time.Time); ok {
			v = t.UnixMilli()
		}
		for _, path := range r.ocsf {
			d.set(ocsfPath(class, path), v)
		}
	}
	d.set("class_uid", class)
	d.set("category_uid", class/1000)
	d.set("activity_id", activity)
	d.set("type_uid", class*100+activity)
	d.set("severity_id", SeverityOf(e.Event).OCSF)
	d.set("message", e.summary())
	d.set("metadata.version", OCSFVersion)
	d.set("metadata.product", document{"name": product, "vendor_name": vendor, "version": e.version})
	if class != apiActivity {
		d.set("metadata.log_provider", serviceVendor+" "+serviceProduct)
	}

	switch class {
	case detectionFinding:
		d.set("finding_info.title", e.summary())
		d.set("finding_info.created_time", e.Time.UnixMilli())
		d.set("status_id", statusNew)
	case apiActivity:
		d.set("status_id", e.ocsfStatus())
		if activity == apiOther {
			d.set("activity_name", string(e.audit().Action))
		}
	default:
		d.set("scan.name", "WildFire analysis")
		d.set("scan.type_id", otherScan)
		d.set("scan.type", "Sandbox")
		d.set("status_id", map[int]int{scanStarted: statusSuccess, scanError: statusFailure}[activity])
	}
	e.ocsfFile(d, class)
	e.ocsfObservables(d)

	return d
}

// ocsfPath converts a path of the table, which is for a Detection Finding, to the event's class.
func ocsfPath(class int, path string) string {
	if class == detectionFinding {
		return path
	}
	if rest, ok := strings.CutPrefix(path, "evidences.0."); ok {
		return "unmapped." + rest
	}
	if path == "finding_info.uid" {
		return "scan.uid"
	}

	return path
}

// ocsfFile adds the fields that the standard requires for files and hashes.
func (e event) ocsfFile(d document, class int) {
	if e.Data.SHA256 == "" {
		return
	}
	file := ocsfPath(class, "evidences.0.file.")
	d.set(file+"hashes.0.algorithm_id", sha256Algorithm)
	if e.Data.MD5 != "" {
		d.set(file+"hashes.1.algorithm_id", md5Algorithm)
	}
	d.set(file+"type_id", regularFile)
	d.set(file+"size", e.Data.Size)
	if e.Data.Filename == "" {
		d.set(file+"name", e.Data.SHA256)
	}
}

// ocsfObservables adds the values that analysts search for.
func (e event) ocsfObservables(d document) {
	var list []any
	for _, o := range []struct {
		name  string
		kind  int
		value string
	}{
		{"file.name", fileNameObservable, e.Data.Filename},
		{"file.hashes.sha256", hashObservable, e.Data.SHA256},
		{"file.hashes.md5", hashObservable, e.Data.MD5},
		{"url.url_string", urlObservable, e.Data.URL},
		{"actor.user.name", userObservable, e.audit().By},
		{"audit.sha256", hashObservable, e.audit().SHA256},
		{"audit.url", urlObservable, e.audit().URL},
	} {
		if o.value != "" {
			list = append(list, document{"name": o.name, "type_id": o.kind, "value": o.value})
		}
	}
	report := e.report()
	for _, o := range []struct {
		name   string
		kind   int
		values []string
	}{
		{"report.domains", hostObservable, report.Domains},
		{"report.ips", ipObservable, report.IPs},
		{"report.urls", urlObservable, report.URLs},
		{"report.dropped.sha256", hashObservable, e.dropped()},
	} {
		for _, value := range o.values {
			list = append(list, document{"name": o.name, "type_id": o.kind, "value": value})
		}
	}
	if list != nil {
		d.set("observables", list)
	}
}

// auditActivity returns the activity ID in OCSF's API Activity.
func (e event) auditActivity() int {
	switch e.audit().Action {
	case results.AuditRetry:
		return apiCreate
	case results.AuditDrop:
		return apiDelete
	case results.AuditPause, results.AuditResume:
		return apiUpdate
	}

	return apiOther
}

// ocsfStatus returns the status ID of an action.
func (e event) ocsfStatus() int {
	switch e.audit().Status {
	case results.AuditDone:
		return statusSuccess
	case results.AuditFailed:
		return statusFailure
	}

	return statusUnknown
}
