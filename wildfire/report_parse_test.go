package wildfire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"backburn/wildfire"
)

// inReport returns a report with the given sections for one environment.
func inReport(sections string) string {
	return `<wildfire><version>2.0</version><file_info><malware>yes</malware><sha256>` + anyHash + `</sha256></file_info>` +
		`<task_info><report>` + sections + `</report></task_info></wildfire>`
}

// TestParseReport reads reports in the formats of public samples and clients.
func TestParseReport(t *testing.T) {
	t.Parallel()
	const (
		sha1 = "3e89ff837147c16b4e41c30d6c796374e0b8e62c"
		md5  = "92dc6ef532fbb4a5c3201469a5b5eb63"
	)
	tests := map[string]struct {
		body string
		want wildfire.Report
	}{
		"document with links": {
			`<?xml version="1.0" encoding="UTF-8"?>
<wildfire>
    <version>2.0</version>
    <file_info>
        <file_signer>None</file_signer>
        <malware>no</malware>
        <sha1>` + strings.ToUpper(sha1) + `</sha1>
        <filetype>PDF</filetype>
        <sha256>` + strings.ToUpper(anyHash) + `</sha256>
        <md5>` + md5 + `</md5>
        <size>102085</size>
    </file_info>
    <task_info>
        <report>
            <version>3.0</version>
            <platform>100</platform>
            <software>PDF Static Analyzer</software>
            <malware>no</malware>
            <doc_embedded_files/>
            <extracted_urls>
                <entry url="accounts.example.com/login?a=1&amp;b=2" verdict="unknown"/>
                <entry>https://b.example.com</entry>
                <entry url="javascript:alert(1)"/>
                <entry/>
            </extracted_urls>
            <summary>
                <entry score="0.0" id="394" details="An action.">Has an action</entry>
                <entry score="nan" id="8016">Has a link</entry>
            </summary>
        </report>
    </task_info>
</wildfire>`,
			wildfire.Report{
				Malware:   "no",
				Filetype:  "PDF",
				Size:      102085,
				SHA256:    anyHash,
				SHA1:      sha1,
				MD5:       md5,
				Platforms: []wildfire.Platform{{ID: "100", Name: "PDF Static Analyzer", Malware: "no"}},
				Behaviors: []wildfire.Behavior{
					{ID: "394", Text: "Has an action", Details: "An action."},
					{ID: "8016", Text: "Has a link"},
				},
				Links: []wildfire.EmbeddedLink{
					{URL: "http://accounts.example.com/login?a=1&b=2", Verdict: "unknown"},
					{URL: "https://b.example.com"},
				},
			},
		},
		"one empty environment": {
			`<wildfire><version>2.0</version><file_info><file_signer>ACME &amp; Co</file_signer><malware>grayware</malware><size>-4</size></file_info>` +
				`<task_info><report><platform>2</platform><malware>suspicious</malware><summary/></report></task_info></wildfire>`,
			wildfire.Report{
				Malware:   "grayware",
				Signer:    "ACME & Co",
				Platforms: []wildfire.Platform{{ID: "2", Malware: "suspicious"}},
			},
		},
		"network": {
			inReport(`<network><TCP ip="192.0.2.1" port="443" country="US"/><UDP ip="2001:DB8::1" port="53"/><TCP ip="192.0.2.1" port="443" country="US"/>` +
				`<TCP ip="10.0.0.300" port="1"/><TCP port="1"/><TCP ip="0.0.0.0"/><TCP ip="::ffff:192.0.2.9" port="x"/>` +
				`<dns query="EVIL.example.net." response="192.0.2.7" type="A"/><dns query="alias.example.net" response="evil.example.net" type="CNAME"/><dns query="wpad"/><dns query="not a domain.test"/>` +
				`<url host="evil.example.net:8080" uri="/gate?x=1" method="POST" user_agent="agent/1"/><url host="192.0.2.44" uri="http://full.example.net/a"/><url uri="/nowhere"/></network>`),
			wildfire.Report{
				Connections: []wildfire.Connection{
					{Protocol: "tcp", IP: "192.0.2.1", Port: 443, Country: "US"},
					{Protocol: "udp", IP: "2001:db8::1", Port: 53},
					{Protocol: "tcp", IP: "192.0.2.9"},
				},
				IPs:        []string{"192.0.2.1", "2001:db8::1", "192.0.2.9", "192.0.2.7", "192.0.2.44"},
				Domains:    []string{"evil.example.net", "alias.example.net"},
				URLs:       []string{"http://evil.example.net:8080/gate?x=1", "http://full.example.net/a"},
				UserAgents: []string{"agent/1"},
			},
		},
		"processes": {
			inReport(`<process_list><process command="c:\a.exe" name="a.exe" pid="1">` +
				`<file><Create name="C:\new.dll" type="dll" size="23312" md5="` + md5 + `" sha1="` + sha1 + `" sha256="` + anyHash[1:] + `0"/><Write name="C:\log"/><Delete name="C:\gone"/></file>` +
				`<registry><Create key="HKEY_LOCAL_MACHINE" subkey="SOFTWARE\x"/><Set key="\REGISTRY\MACHINE" subkey="Run" data="c:\a.exe"/><Delete key="\REGISTRY\GONE"/></registry>` +
				`<mutex><CreateMutex name="m"/><CreateMutex name="&lt;NULL&gt;"/></mutex>` +
				`<process_activity><Create child_pid="2" child_process_image="b.exe" command="b.exe -x"/></process_activity><java_api/></process></process_list>` +
				`<process_tree><process name="a.exe" pid="1" text="c:\a.exe"><child><process name="b.exe" pid="2" text="b.exe -x"><child><process name="c.exe" pid="3" text="c"/></child></process></child></process></process_tree>`),
			wildfire.Report{
				Processes: []wildfire.Process{
					{Name: "a.exe", Command: `c:\a.exe`, PID: "1"},
					{Name: "b.exe", Command: "b.exe -x", PID: "2"},
					{Name: "c.exe", Command: "c", PID: "3"},
				},
				RegistryKeys: []wildfire.RegistryKey{
					{Key: "HKEY_LOCAL_MACHINE", Value: `SOFTWARE\x`},
					{Key: `\REGISTRY\MACHINE`, Value: "Run", Data: `c:\a.exe`},
				},
				FilesWritten: []string{`C:\new.dll`, `C:\log`},
				Dropped:      []wildfire.DroppedFile{{Path: `C:\new.dll`, Type: "dll", Size: 23312, SHA256: anyHash[1:] + "0", SHA1: sha1, MD5: md5}},
				Mutexes:      []string{"m"},
			},
		},
		"evidence": {
			inReport(`<evidence><file><entry behavior_id="35" md5="` + md5 + `">C:\x</entry><entry md5="no hash">C:\y</entry><entry sha256="` + anyHash + `">itself</entry></file></evidence>`),
			wildfire.Report{Dropped: []wildfire.DroppedFile{{Path: `C:\x`, MD5: md5}}},
		},
		"files of a Mac": {
			inReport(`<file><file_written written_file="/tmp/x"/><file_written written_file="/tmp/y"/><file_deleted deleted_file="/tmp/z"/></file>`),
			wildfire.Report{FilesWritten: []string{"/tmp/x", "/tmp/y"}},
		},
		"ELF": {
			inReport(`<elf_info><Domains><entry>c2.example.net</entry></Domains><IP_Addresses><entry>192.0.2.5</entry></IP_Addresses><URLs><entry>http://c2.example.net/x</entry></URLs>` +
				`<suspicious><entry description="Contains a known string" behavior_id="9" family="Mirai">/bin/busybox</entry></suspicious></elf_info>`),
			wildfire.Report{
				IPs:       []string{"192.0.2.5"},
				Domains:   []string{"c2.example.net"},
				URLs:      []string{"http://c2.example.net/x"},
				Behaviors: []wildfire.Behavior{{ID: "9", Text: "Contains a known string", Details: "/bin/busybox", Kind: "Mirai"}},
			},
		},
		"two environments": {
			inReport(`<platform>66</platform><network><dns query="a.example.net"/></network></report><report><platform>61</platform><network><dns query="a.example.net"/><dns query="b.example.net"/></network>`),
			wildfire.Report{
				Platforms: []wildfire.Platform{{ID: "66"}, {ID: "61"}},
				Domains:   []string{"a.example.net", "b.example.net"},
			},
		},
		"file's details elsewhere": {
			inReport(`<malware>no</malware><file_info><malware>no</malware><sha256>` + sha256Of("x") + `</sha256></file_info>`),
			wildfire.Report{Platforms: []wildfire.Platform{{Malware: "no"}}},
		},
		"text that misleads": {
			inReport("<summary><entry>a\u202egpj.exe\nb\x00c\u2028d\te</entry></summary><process_list><process name='\xff\xfe' command='x&#10;y'/></process_list>"),
			wildfire.Report{
				Behaviors: []wildfire.Behavior{{Text: "a?gpj.exe b?c d e"}},
				Processes: []wildfire.Process{{Name: "??", Command: "x y"}},
			},
		},
		"Windows-1252": {
			`<?xml version="1.0" encoding="windows-1252"?>` + inReport("<process_list><process name='\x80.exe'/></process_list>"),
			wildfire.Report{Processes: []wildfire.Process{{Name: "€.exe"}}},
		},
		"Latin-1": {
			`<?xml version="1.0" encoding="ISO-8859-1"?>` + inReport("<process_list><process name='\xe9.exe'/></process_list>"),
			wildfire.Report{Processes: []wildfire.Process{{Name: "é.exe"}}},
		},
		"garbage behind it": {inReport("") + "<script>x</script> & more <", wildfire.Report{}},
		"byte order mark":   {"\xef\xbb\xbf\n\n" + inReport(""), wildfire.Report{}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.want.Malware == "" {
				tt.want.Malware, tt.want.SHA256 = "yes", anyHash
			}

			got, err := wildfire.ParseReport(strings.NewReader(tt.body))
			if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
				t.Errorf("%v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestParseReportErrorsMatchTheirSentinels(t *testing.T) {
	t.Parallel()
	broken := errors.New("disk on fire")
	tests := map[string]struct {
		body io.Reader
		want error
	}{
		"nothing":            {strings.NewReader(""), wildfire.ErrForeignAnswer},
		"page":               {strings.NewReader(loginPage), wildfire.ErrForeignAnswer},
		"JSON":               {strings.NewReader(`{"result":""}`), wildfire.ErrForeignAnswer},
		"text":               {strings.NewReader("blocked <wildfire/>"), wildfire.ErrForeignAnswer},
		"not yet":            {strings.NewReader("<response><version>2.0</version></response>"), wildfire.ErrNotReady},
		"no file":            {strings.NewReader("<wildfire><version>2.0</version></wildfire>"), wildfire.ErrNotReady},
		"error":              {strings.NewReader(vendorError), wildfire.ErrRejected},
		"error cut short":    {strings.NewReader("<error><error-mess"), wildfire.ErrRejected},
		"nested error":       {strings.NewReader("<submission><error><error-message>x</error-message></error></submission>"), wildfire.ErrRejected},
		"cut short":          {strings.NewReader(inReport("")[:100]), wildfire.ErrAnswer},
		"document type":      {strings.NewReader("<!DOCTYPE wildfire [<!ENTITY a 'b'>]>" + inReport("")), wildfire.ErrAnswer},
		"later one":          {strings.NewReader(inReport("<!DOCTYPE x>")), wildfire.ErrAnswer},
		"deep":               {strings.NewReader(inReport(strings.Repeat("<a>", 70) + strings.Repeat("</a>", 70))), wildfire.ErrAnswer},
		"too many elements":  {repeated("<a/>", 2<<20), wildfire.ErrAnswer},
		"long element":       {repeated(` a=">"`, 1<<19, "<a", "/>"), wildfire.ErrAnswer},
		"too long":           {repeated(strings.Repeat("x", 1<<10), 33<<10), wildfire.ErrAnswer},
		"too long of spaces": {io.MultiReader(strings.NewReader("<wildfire>"), repeated(strings.Repeat(" ", 1<<10), 33<<10, "", "")), wildfire.ErrAnswer},
		"source breaks":      {io.MultiReader(strings.NewReader(inReport("")[:100]), &failing{broken}), broken},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := wildfire.ParseReport(tt.body)
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if diff := cmp.Diff(wildfire.Report{}, got); diff != "" {
				t.Errorf("a report besides the error: %s", diff)
			}
			if err != nil && (strings.Contains(err.Error(), "Guest") || len(err.Error()) > 200) {
				t.Errorf("the error shows the document: %v", err)
			}
		})
	}
}

// repeated streams a report with n copies of something, without holding it in memory.
func repeated(what string, n int, around ...string) io.Reader {
	before, after, _ := strings.Cut(inReport("|"), "|")
	if len(around) == 2 {
		before, after = before+around[0], around[1]+after
	}
	parts := make([]io.Reader, 0, n/1024+3)
	parts = append(parts, strings.NewReader(before))
	block := strings.Repeat(what, 1024)
	for n >= 1024 {
		parts = append(parts, strings.NewReader(block))
		n -= 1024
	}
	parts = append(parts, strings.NewReader(strings.Repeat(what, n)), strings.NewReader(after))

	return io.MultiReader(parts...)
}

// TestReportsAreBounded: a report stays within its bounds, whatever its contents.
func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	long := strings.Repeat("é<&\"'\\", 400)
	for i := range 5000 {
		n := strconv.Itoa(i)
		fmt.Fprintf(&many, `<summary><entry id="%s" details="d">t%s</entry></summary>`, n, n)
		fmt.Fprintf(&many, `<network><TCP ip="10.0.%d.%d" port="%d"/><dns query="d%s.example.net" response="10.1.%d.%d"/><url host="h%s.example.net" uri="/%s" user_agent="a%s"/></network>`,
			i/250, i%250, i, n, i/250, i%250, n, n, n)
		fmt.Fprintf(&many, `<process_list><process name="p%s" command="c%s"><file><Create name="f%s" md5="%032x"/></file><registry><Set key="k%s"/></registry><mutex><CreateMutex name="m%s"/></mutex></process></process_list>`,
			n, n, n, i, n, n)
		fmt.Fprintf(&many, `<extracted_urls><entry url="l%s.example.net"/></extracted_urls>`, n)
		fmt.Fprintf(&many, `</report><report><platform>%s</platform>`, n)
	}

	escaped := strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(long)
	var wide strings.Builder
	for i := range 200 {
		fmt.Fprintf(&wide, `<summary><entry id="%d" details="%s">%s</entry></summary><process_list><process name="%s" command="%d%s"/></process_list>`, i, escaped, escaped, escaped, i, escaped)
		fmt.Fprintf(&wide, `<network><url host="a.example.net" uri="/%d%s"/></network>`, i, escaped)
	}

	for name, body := range map[string]string{"many": inReport(many.String()), "wide": inReport(wide.String())} {
		report, err := wildfire.ParseReport(strings.NewReader(body))
		if err != nil {
			t.Fatal(name, err)
		}
		if !report.Truncated {
			t.Errorf("%s: not marked as truncated", name)
		}

		checkReport(t, report)
	}

	report, err := wildfire.ParseReport(strings.NewReader(inReport(many.String())))
	if err != nil {
		t.Fatal(err)
	}

	for list, n := range map[string]int{
		"behaviors": len(report.Behaviors), "processes": len(report.Processes), "registry": len(report.RegistryKeys),
		"files": len(report.FilesWritten), "dropped": len(report.Dropped), "mutexes": len(report.Mutexes),
		"connections": len(report.Connections), "ips": len(report.IPs), "domains": len(report.Domains), "urls": len(report.URLs),
		"agents": len(report.UserAgents), "links": len(report.Links), "platforms": len(report.Platforms),
	} {
		if n < 200 {
			t.Errorf("%s: only %d entries", list, n)
		}
	}
}

// checkReport fails if a report breaks the guarantees of its documentation.
func checkReport(t *testing.T, r wildfire.Report) {
	t.Helper()
	checkHash(t, r.SHA256, 64)
	checkHash(t, r.SHA1, 40)
	checkHash(t, r.MD5, 32)
	for _, d := range r.Dropped {
		checkHash(t, d.SHA256, 64)
		checkHash(t, d.SHA1, 40)
		checkHash(t, d.MD5, 32)
		if d.SHA256+d.SHA1+d.MD5 == "" {
			t.Fatalf("%+v has no hash", d)
		}
	}

	for _, b := range r.Behaviors {
		if !(b.Score >= 0 && b.Score <= 1000) {
			t.Fatalf("score %v", b.Score)
		}
	}

	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		t.Fatal(err)
	}
	if out.Len() > 1<<20 {
		t.Fatalf("%d bytes of JSON", out.Len())
	}

	var generic any
	if err := json.Unmarshal(out.Bytes(), &generic); err != nil {
		t.Fatal(err)
	}

	checkStrings(t, generic)
}

// checkStrings fails if a string or a list in a JSON document exceeds its bounds.
func checkStrings(t *testing.T, value any) {
	t.Helper()
	switch value := value.(type) {
	case string:
		if len(value) > wildfire.MaxReportText || !utf8.ValidString(value) || strings.ContainsAny(value, "\r\n\t\x00\u2028\u202e") || strings.TrimSpace(value) != value {
			t.Fatalf("string %q", value)
		}
	case []any:
		if len(value) > wildfire.MaxReportEntries {
			t.Fatalf("%d entries", len(value))
		}

		for _, one := range value {
			checkStrings(t, one)
		}
	case map[string]any:
		for _, one := range value {
			checkStrings(t, one)
		}
	}
}

// TestLargeReportsTakeLittleMemory: a report is read as a stream, and its timeline is not kept.
func TestLargeReportsTakeLittleMemory(t *testing.T) { // not parallel, because memory of other tests would be counted
	timeline := `<entry seq="1">Created process c:\sample.exe with a command line that is of no interest</entry>`
	n := 300_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	var peak uint64
	body := &sampled{Reader: repeated(timeline, n, "<timeline>", "</timeline>"), every: 4 << 20, sample: func() {
		runtime.ReadMemStats(&after)
		peak = max(peak, after.HeapAlloc)
	}}
	if _, err := wildfire.ParseReport(body); err != nil {
		t.Fatal(err)
	}
	if grown := int64(peak) - int64(before.HeapAlloc); grown > 24<<20 {
		t.Errorf("%d MiB for a report of %d MiB", grown>>20, n*len(timeline)>>20)
	}
}

// sampled calls a function at intervals while it is read.
type sampled struct {
	io.Reader
	every, read int
	sample      func()
}

func (s *sampled) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	if s.read += n; s.read > s.every {
		s.read = 0
		s.sample()
	}

	return n, err
}

func FuzzReport(f *testing.F) {
	addShapes(f)
	f.Add([]byte(inReport(`<platform>66</platform><software>s</software><summary><entry score="0.5" id="1" details="d" behavior="b">t</entry></summary>`)))
	f.Add([]byte(inReport(`<network><TCP ip="192.0.2.1" port="1" country="c"/><UDP ip="::1"/><dns query="a.b" response="1.2.3.4"/><url host="a.b:1" uri="/x" user_agent="u"/></network>`)))
	f.Add([]byte(inReport(`<process_list><process name="n" command="c" pid="1"><file><Create name="f" md5="0123456789abcdef0123456789abcdef" size="1" type="t"/></file><registry><Set key="k" subkey="s" data="d"/></registry><mutex><CreateMutex name="m"/></mutex><process_activity><Create child_pid="1" child_process_image="i" command="c"/></process_activity></process></process_list>`)))
	f.Add([]byte(inReport(`<process_tree><process name="a" text="b"><child><process name="c" text="d"/></child></process></process_tree><extracted_urls><entry url="a.b/c" verdict="v">t</entry></extracted_urls>`)))
	f.Add([]byte(inReport(`<evidence><file><entry md5="0123456789abcdef0123456789abcdef">p</entry></file></evidence><elf_info><Domains><entry>a.b</entry></Domains><URLs><entry>http://a</entry></URLs></elf_info><file><file_written written_file="w"/></file>`)))
	f.Fuzz(func(t *testing.T, body []byte) {
		report, err := wildfire.ParseReport(bytes.NewReader(body))
		if err != nil {
			if !cmp.Equal(report, wildfire.Report{}) {
				t.Fatal("a report and an error")
			}
			if len(err.Error()) > 200 {
				t.Fatalf("a long error: %v", err)
			}
		}

		checkReport(t, report)
		again, err2 := wildfire.ParseReport(io.MultiReader(bytes.NewReader(body[:len(body)/2]), bytes.NewReader(body[len(body)/2:])))
		if (err == nil) != (err2 == nil) || !cmp.Equal(report, again) {
			t.Fatalf("read in pieces it is another: %v, %v", err, err2)
		}
	})
}
