package wildfiretest

import (
	"crypto/md5"  // #nosec G501 -- part of the service's answers
	"crypto/sha1" // #nosec G505 -- part of the service's answers
	"encoding/hex"
	"strconv"
	"strings"

	"backburn/wildfire"
)

// Indicators are the findings of a simulated analysis of a malicious sample. They depend only on
// the sample's SHA-256, so a test can look for them wherever a report is used. Names and addresses
// are from the ranges reserved for documentation.
type Indicators struct {
	Domain    string
	IP        string // address of the domain, and of the connection
	Port      int
	URL       string // requested
	UserAgent string
	Mutex     string

	RegistryKey  string // key that starts the dropped file
	RegistryName string

	DroppedPath   string
	DroppedSHA256 string
	DroppedSHA1   string
	DroppedMD5    string

	Behavior string // the behavior with the highest score
	Link     string // embedded link, harmless
}

// IndicatorsOf returns the indicators in the report about a malicious sample.
func IndicatorsOf(sha256 string) Indicators {
	sha256 = strings.ToLower(sha256)
	id := hashOf("indicators of " + sha256)
	domain := "c2-" + id[:8] + ".example.net"
	dropped := []byte("dropped by " + sha256)
	droppedSHA1, droppedMD5 := sha1.Sum(dropped), md5.Sum(dropped) // #nosec G401

	return Indicators{
		Domain:        domain,
		IP:            "198.51.100." + strconv.Itoa(1+int(id[8])%250),
		Port:          8080,
		URL:           "http://" + domain + "/gate.php?id=" + id[8:16] + "&v=2",
		UserAgent:     "Mozilla/4.0 (compatible; " + id[:6] + ")",
		Mutex:         `Global\` + id[16:32],
		RegistryKey:   `\REGISTRY\USER\S-1-5-21\Software\Microsoft\Windows\CurrentVersion\Run`,
		RegistryName:  "updater-" + id[:4],
		DroppedPath:   `C:\Users\Administrator\AppData\Local\Temp\` + id[:8] + `.exe`,
		DroppedSHA256: hashOf(string(dropped)),
		DroppedSHA1:   hex.EncodeToString(droppedSHA1[:]),
		DroppedMD5:    hex.EncodeToString(droppedMD5[:]),
		Behavior:      "Created an executable file in a user folder",
		Link:          "https://www.example.org/?from=" + id[:4],
	}
}

// attributes renders attributes from alternating names and values.
func attributes(pairs ...string) string {
	var out strings.Builder
	for i := 0; i+1 < len(pairs); i += 2 {
		out.WriteString(" " + pairs[i] + `="` + attrEscaper.Replace(strings.Map(xmlRune, pairs[i+1])) + `"`)
	}

	return out.String()
}

var attrEscaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "\n", "&#10;", "\t", "&#9;")

// section returns an element with children.
func section(name string, children ...element) element {
	return element{name: name, children: children}
}

// leaf returns an element with attributes only.
func leaf(name string, pairs ...string) element {
	return element{name: name, attrs: attributes(pairs...)}
}

// analysis returns the parts of an XML report: the overall result, a static analysis with a link
// and the result "no", and a dynamic analysis. The dynamic analysis of a malicious sample shows all
// other Indicators; that of any other sample shows a changed file and a query for the time.
func analysis(sample storedSample, verdict wildfire.Verdict) []element {
	overall, dynamic := "no", "no"
	switch {
	case verdict == wildfire.Grayware:
		overall, dynamic = "grayware", "suspicious"
	case verdict.Malicious():
		overall, dynamic = "yes", "yes"
	}

	found := IndicatorsOf(sample.sha256)
	behavior := commonBehavior()
	if verdict.Malicious() {
		behavior = maliciousBehavior(found)
	}

	links := section("extracted_urls", leaf("entry", "url", strings.TrimPrefix(found.Link, "https://"), "verdict", "unknown"))

	return []element{
		{name: "version", text: "2.0"},
		section("file_info",
			element{name: "file_signer", text: "None"},
			element{name: "malware", text: overall},
			element{name: "sha1"},
			element{name: "filetype", text: reportFiletype(sample.filetype)},
			element{name: "sha256", text: sample.sha256},
			element{name: "md5", text: sample.md5},
			element{name: "size", text: strconv.FormatInt(sample.size, 10)},
		),
		section("task_info",
			environment(sample, "100", "Static Analyzer", "no", links),
			environment(sample, "66", "Windows 10 64-bit", dynamic, behavior...),
		),
	}
}

// reportFiletype returns the file type in reports for the file type in submissions, which differs.
func reportFiletype(label string) string {
	switch label {
	case "PE32 executable":
		return "PE"
	case "Adobe PDF document":
		return "PDF"
	case "Jscript for WSH":
		return "JScript"
	}

	return label
}

func environment(sample storedSample, platform, software, malware string, sections ...element) element {
	children := []element{
		{name: "version", text: "3.0"},
		{name: "platform", text: platform},
		{name: "software", text: software},
		{name: "sha256", text: sample.sha256},
		{name: "md5", text: sample.md5},
		{name: "malware", text: malware},
	}

	return section("report", append(children, sections...)...)
}

func entry(text string, pairs ...string) element {
	return element{name: "entry", text: text, attrs: attributes(pairs...)}
}

// commonBehavior returns the behavior of a sample that is not malicious.
func commonBehavior() []element {
	return []element{
		section("summary",
			entry("Created or modified a file",
				"score", "0.1", "id", "2", "details", "Legitimate software creates files too.", "behavior", "file"),
		),
		section("network",
			leaf("dns", "query", "time.example.test", "response", "192.0.2.123", "type", "A"),
			leaf("UDP", "ip", "192.0.2.123", "port", "123", "country", "US"),
		),
		section("process_list",
			leaf("process", "command", `C:\sample.exe`, "name", "sample.exe", "pid", "884"),
		),
	}
}

// maliciousBehavior returns the behavior of a malicious sample.
func maliciousBehavior(found Indicators) []element {
	hashes := []string{"md5", found.DroppedMD5, "sha1", found.DroppedSHA1, "sha256", found.DroppedSHA256}
	dropped := append([]string{"name", found.DroppedPath, "type", "exe", "size", "23312"}, hashes...)
	_, uri, _ := strings.Cut(strings.TrimPrefix(found.URL, "http://"), "/")

	return []element{
		section("summary",
			entry("Created or modified a file",
				"score", "0.1", "id", "2", "details", "Legitimate software creates files too.", "behavior", "file"),
			entry(found.Behavior,
				"score", "0.75", "id", "35", "details", "Malware often leaves executables in user folders.", "behavior", "dropper"),
			entry("Changed the registry to start with Windows",
				"score", "0.5", "id", "12", "details", "The file starts again when the user logs on.", "behavior", "persistence"),
		),
		section("evidence", section("file",
			entry(found.DroppedPath, append([]string{"behavior_id", "35"}, hashes...)...),
		)),
		section("network",
			leaf("dns", "query", found.Domain, "response", found.IP, "type", "A"),
			leaf("TCP", "ip", found.IP, "port", strconv.Itoa(found.Port), "country", "ZZ"),
			leaf("url", "host", found.Domain, "uri", "/"+uri, "method", "POST", "user_agent", found.UserAgent),
		),
		section("process_list",
			element{name: "process", attrs: attributes("command", `"C:\sample.exe" /q`, "name", "sample.exe", "pid", "884"), children: []element{
				section("file", leaf("Create", dropped...)),
				section("registry", leaf("Set", "key", found.RegistryKey, "subkey", found.RegistryName, "data", found.DroppedPath)),
				section("mutex", leaf("CreateMutex", "name", found.Mutex), leaf("CreateMutex", "name", "<NULL>")),
				section("process_activity", leaf("Create",
					"child_pid", "1020", "child_process_image", found.DroppedPath, "command", found.DroppedPath+" -s")),
			}},
		),
		section("process_tree",
			element{name: "process", attrs: attributes("name", "sample.exe", "pid", "884", "text", `"C:\sample.exe" /q`), children: []element{
				section("child", leaf("process", "name", found.DroppedPath, "pid", "1020", "text", found.DroppedPath+" -s")),
			}},
		),
	}
}
