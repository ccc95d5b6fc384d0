package results

// Bounds of a Report in an event. Data beyond them is left out, and Truncated is set.
const (
	// MaxReportEntries is the maximum length of each list in the report.
	MaxReportEntries = 100

	// MaxReportBytes is the maximum size of the report as JSON, in bytes.
	MaxReportBytes = 128 << 10
)

// ReportStatus says whether there is a report.
type ReportStatus string

// The states of a report.
const (
	ReportAvailable ReportStatus = "available"
	ReportMissing   ReportStatus = "missing" // WildFire has no report: it was never created, or has expired
)

// Report is the result of WildFire's analysis of contents, from all environments in which they were
// analyzed. If Status is ReportMissing, nothing else is set.
//
// The author of the contents can influence all of it, so treat it only as text. Each string is on
// one line. Nothing is defanged: do not turn URLs into links. Lists hold each entry once, and empty
// lists are left out. `backburn report HASH --format xml` shows all of the report.
type Report struct {
	Status ReportStatus `json:"status"`

	// Kept lists the documents that Backburn keeps: xml, pdf, pcap.
	Kept []string `json:"kept,omitempty"`

	Malware string `json:"malware,omitempty"` // the report's overall result: yes, no or grayware
	Signer  string `json:"signer,omitempty"`  // the signer of the file
	SHA1    string `json:"sha1,omitempty"`    // 40 lower-case hexadecimal digits

	Platforms    []ReportPlatform   `json:"platforms,omitempty"`
	Behaviors    []ReportBehavior   `json:"behaviors,omitempty"`
	Processes    []ReportProcess    `json:"processes,omitempty"`
	FilesWritten []string           `json:"files_written,omitempty"` // paths
	RegistryKeys []ReportRegistry   `json:"registry_keys,omitempty"` // created or set
	Dropped      []ReportFile       `json:"dropped,omitempty"`
	Mutexes      []string           `json:"mutexes,omitempty"`
	Connections  []ReportConnection `json:"connections,omitempty"`
	Domains      []string           `json:"domains,omitempty"`
	IPs          []string           `json:"ips,omitempty"`
	URLs         []string           `json:"urls,omitempty"`
	UserAgents   []string           `json:"user_agents,omitempty"`

	Truncated bool `json:"truncated,omitempty"`
}

// ReportPlatform is an environment in which contents were analyzed. Its result may contradict the
// verdict.
type ReportPlatform struct {
	ID      string `json:"id,omitempty"`
	Name    string `json:"name,omitempty"`
	Malware string `json:"malware,omitempty"` // yes, no or suspicious
}

// ReportBehavior is an action or a property of the contents.
type ReportBehavior struct {
	ID       string  `json:"id,omitempty"`
	Text     string  `json:"text"`
	Details  string  `json:"details,omitempty"`
	Kind     string  `json:"kind,omitempty"`
	Severity float64 `json:"severity"` // WildFire's score, 0 to 1000; its scale is not documented
}

// ReportProcess is a process that ran during the analysis.
type ReportProcess struct {
	Name    string `json:"name,omitempty"`
	Command string `json:"command,omitempty"`
}

// ReportRegistry is a key of the Windows registry with the value that was set.
type ReportRegistry struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"` // the value's name
	Data  string `json:"data,omitempty"`
}

// ReportFile is a file that was dropped; at least one hash is set.
type ReportFile struct {
	Path   string `json:"path,omitempty"`
	Type   string `json:"type,omitempty"`
	Size   int64  `json:"size,omitempty"` // in bytes
	SHA256 string `json:"sha256,omitempty"`
	SHA1   string `json:"sha1,omitempty"`
	MD5    string `json:"md5,omitempty"`
}

// ReportConnection is an address with which the contents communicated.
type ReportConnection struct {
	Protocol string `json:"protocol"` // tcp or udp
	IP       string `json:"ip"`
	Port     int    `json:"port,omitempty"`
	Country  string `json:"country,omitempty"`
}
