package wildfire

// Bounds of a Report. Data beyond them is left out, and Truncated is set.
const (
	// MaxReportEntries is the most entries in each of its lists.
	MaxReportEntries = 500

	// MaxReportText is the greatest length of each of its strings, in bytes.
	MaxReportText = 2048

	// MaxReportListBytes is about the greatest size of each of its lists, in bytes of JSON without
	// escapes. So a report has less than 0.5 MiB of JSON, or less than 3 MiB if every character is
	// escaped.
	MaxReportListBytes = 32 << 10
)

// Report is the result of an analysis: the parts of WildFire's XML report that incident responders
// need, from all environments in which the sample was analyzed.
//
// The sample's author can influence all of it, so treat it only as text. Strings are valid UTF-8 on
// one line, hashes are lower-case hexadecimal, and IP addresses and domain names are well-formed.
// Lists are bounded, and have each entry once, in the order of the report. URLs and domain names
// are not defanged.
type Report struct {
	// Malware is the overall result as the report has it: "yes", "no" or "grayware". The method
	// Verdict converts it.
	Malware string `json:"malware"`

	// Filetype may differ from the Filetype in the Submission of the same file.
	Filetype string `json:"filetype,omitempty"`

	// Signer is the signer of the file; empty if it is not signed.
	Signer string `json:"signer,omitempty"`

	// Size is in bytes.
	Size int64 `json:"size"`

	SHA256 string `json:"sha256,omitempty"`
	SHA1   string `json:"sha1,omitempty"` // often empty
	MD5    string `json:"md5,omitempty"`

	Platforms    []Platform     `json:"platforms,omitempty"`
	Behaviors    []Behavior     `json:"behaviors,omitempty"`
	Processes    []Process      `json:"processes,omitempty"`
	RegistryKeys []RegistryKey  `json:"registry_keys,omitempty"` // created or set
	FilesWritten []string       `json:"files_written,omitempty"` // paths
	Dropped      []DroppedFile  `json:"dropped,omitempty"`
	Mutexes      []string       `json:"mutexes,omitempty"`
	Connections  []Connection   `json:"connections,omitempty"`
	IPs          []string       `json:"ips,omitempty"`     // of connections, in DNS answers or HTTP requests, or in the file
	Domains      []string       `json:"domains,omitempty"` // in DNS queries, in HTTP requests, or in the file
	URLs         []string       `json:"urls,omitempty"`    // requested, or in an executable
	UserAgents   []string       `json:"user_agents,omitempty"`
	Links        []EmbeddedLink `json:"links,omitempty"`

	// Truncated is set if entries were left out or strings were cut. ReportXML returns all of them.
	Truncated bool `json:"truncated,omitempty"`
}

// Platform is an environment in which the sample was analyzed. Its result may contradict the
// overall one.
type Platform struct {
	ID      string `json:"id,omitempty"` // a number, for Client.PCAP
	Name    string `json:"name,omitempty"`
	Malware string `json:"malware,omitempty"` // "yes", "no" or "suspicious"
}

// Behavior is an action or a property of the sample.
type Behavior struct {
	ID      string `json:"id,omitempty"`
	Text    string `json:"text"`
	Details string `json:"details,omitempty"`
	Kind    string `json:"kind,omitempty"` // WildFire's group of behaviors, or a malware family

	// Score is WildFire's severity. The scale is not documented; 0 means harmless, or no score.
	Score float64 `json:"score"`
}

// Process is a process that ran during an analysis.
type Process struct {
	Name    string `json:"name,omitempty"`
	Command string `json:"command,omitempty"`
	PID     string `json:"pid,omitempty"`
}

// RegistryKey is a key of the Windows registry that the sample created, or a value that it set.
type RegistryKey struct {
	Key   string `json:"key"`
	Value string `json:"value,omitempty"` // the value's name
	Data  string `json:"data,omitempty"`
}

// DroppedFile is a file that the sample wrote and that WildFire hashed. At least one hash is set.
type DroppedFile struct {
	Path   string `json:"path,omitempty"`
	Type   string `json:"type,omitempty"`
	Size   int64  `json:"size,omitempty"` // in bytes; 0 if unknown
	SHA256 string `json:"sha256,omitempty"`
	SHA1   string `json:"sha1,omitempty"`
	MD5    string `json:"md5,omitempty"`
}

// Connection is an address with which the sample communicated.
type Connection struct {
	Protocol string `json:"protocol"` // "tcp" or "udp"
	IP       string `json:"ip"`
	Port     int    `json:"port,omitempty"` // 0 if unknown
	Country  string `json:"country,omitempty"`
}

// EmbeddedLink is a link in a document. It need not have been visited, and most are harmless.
type EmbeddedLink struct {
	URL     string `json:"url"`
	Verdict string `json:"verdict,omitempty"` // WildFire's word, often "unknown"
}

// Verdict converts Malware to a verdict. It returns false if the word is unknown.
func (r Report) Verdict() (Verdict, bool) {
	switch r.Malware {
	case "yes":
		return Malware, true
	case "no":
		return Benign, true
	case "grayware":
		return Grayware, true
	}

	return 0, false
}
