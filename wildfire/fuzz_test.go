package wildfire_test

import (
	"bytes"
	"encoding/json"
	"mime"
	"path"
	"strings"
	"testing"
	"time"

	"backburn/wildfire"
)

// shapes are answers from documentation, fixtures and clients, and inputs that are hard for
// parsers. Every target starts from all of them, so that answers to the wrong call are covered too.
var shapes = []string{
	"",
	vendorError,
	`<wildfire><upload-file-info><url/><filetype>PE32 executable</filetype><filename>a.exe</filename><sha256>` + anyHash + `</sha256><md5>0123456789abcdef0123456789abcdef</md5><size>1024</size></upload-file-info></wildfire>`,
	"\n\n<?xml version=\"1.0\" encoding=\"UTF-8\" ?>\n<wildfire>\n    <upload-file-info>\n        <size>12</size>\n        <url></url>\n        <filename>R&D \x01.exe</filename>\n    </upload-file-info>\n</wildfire>\n",
	`<wildfire><submit-link-info><url>http://a.test</url><sha256>` + anyHash + `</sha256><md5/></submit-link-info><submit-link-info/></wildfire>`,
	`<wildfire><get-verdict-info><sha256>` + strings.ToUpper(anyHash) + `</sha256><verdict> -102 </verdict><md5></md5></get-verdict-info></wildfire>`,
	`<wildfire><get-verdict-info><url>a.test</url><verdict>4</verdict><analysis_time>2021-12-13T11:30:55Z</analysis_time><valid>Yes</valid></get-verdict-info></wildfire>`,
	`<wildfire><get-verdict-info><sha256>` + anyHash + `</sha256></get-verdict-info><get-verdict-info><verdict>99999999999999999999</verdict></get-verdict-info></wildfire>`,
	`<?xml version="1.0" encoding="ISO-8859-1"?><wildfire><upload-file-info><filename>` + "\xe9" + `</filename></upload-file-info></wildfire>`,
	`<response><version>2.0</version></response>`,
	`<submission><error><error-message>'Unsupport File type'</error-message></error></submission>`,
	`<wildfire><version>2.0</version><file_info><file_signer>None</file_signer><malware>yes</malware><sha1></sha1><filetype>PE</filetype><sha256>` + anyHash + `</sha256><md5>x</md5><size>1</size></file_info><task_info><report><version>3.0</version><platform>66</platform><software>w</software><malware>no</malware><summary><entry score="0.1" id="2" details="d" behavior="b">t</entry></summary><network><TCP ip="192.0.2.1" port="1"/><dns query="q"/></network><process_list><process name="n" pid="1"/></process_list><extracted_urls><entry>u</entry></extracted_urls><evidence><file><entry a="b">c</entry></file></evidence></report></task_info></wildfire>`,
	`<!DOCTYPE wildfire [<!ENTITY a "b">]><wildfire>&a;</wildfire>`,
	`<wildfire><![CDATA[<error/>]]><!-- c --><?pi x?></wildfire>trailing`,
	`<html><body>Forbidden. (403)</body></html>`,
	"\xef\xbb\xbf<wildfire/>",
	strings.Repeat("<a>", 70),
	`{"success":"True","result":{"analysis_time":"2021-12-13T11:30:55Z","url_type":"original","report":"{\"a\":1}"}}`,
	`{"success":true,"result":{"report":{"a":[1,2]}}}`,
	`{"result":{"analysis_time":"","url_type":"","report":""},"success":""}`,
	`{"result":"{\"type\":\"package\"}"}`,
	`{"result":null}`,
}

func addShapes(f *testing.F) {
	for _, shape := range shapes {
		f.Add([]byte(shape))
	}
}

// checkHash fails unless a digest is empty or lower-case hexadecimal of the right length.
func checkHash(t *testing.T, hash string, length int) {
	t.Helper()
	if hash != "" && (len(hash) != length || strings.Trim(hash, "0123456789abcdef") != "") {
		t.Fatalf("%q is no digest", hash)
	}
}

func FuzzVerdicts(f *testing.F) {
	addShapes(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		records, err := wildfire.ParseVerdicts(body)
		if err != nil && records != nil {
			t.Fatal("records and an error")
		}
		for _, record := range records {
			checkHash(t, record.SHA256, 64)
			checkHash(t, record.MD5, 32)
			if !record.HasVerdict && record.Verdict != 0 {
				t.Fatalf("%+v has a code and no verdict", record)
			}
			if record.HasVerdict && !bytes.ContainsAny(body, "0123456789") && !bytes.Contains(body, []byte("&#")) {
				t.Fatalf("%+v out of a body without a digit", record)
			}
		}
	})
}

func FuzzReceipts(f *testing.F) {
	addShapes(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		records, err := wildfire.ParseReceipts(body)
		if err != nil && records != nil {
			t.Fatal("records and an error")
		}
		for _, record := range records {
			checkHash(t, record.SHA256, 64)
			checkHash(t, record.MD5, 32)
			if record.Size < 0 || record.Uncertain {
				t.Fatalf("got %+v", record)
			}
		}
	})
}

func FuzzLinks(f *testing.F) {
	addShapes(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		records, _ := wildfire.ParseLinks(body)
		for _, record := range records {
			checkHash(t, record.SHA256, 64)
			checkHash(t, record.MD5, 32)
			if record.Uncertain != (record.SHA256 == "") {
				t.Fatalf("got %+v", record)
			}
		}
	})
}

func FuzzURLReport(f *testing.F) {
	addShapes(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		report, err := wildfire.ParseURLReport(body)
		if (err == nil) != (len(report.Report) > 0) || err == nil && !json.Valid(report.Report) {
			t.Fatalf("got %q, %v", report.Report, err)
		}
	})
}

func FuzzMAEC(f *testing.F) {
	addShapes(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		report, err := wildfire.ParseMAEC(body)
		if (err == nil) != (len(report) > 0) || err == nil && !json.Valid(report) {
			t.Fatalf("got %q, %v", report, err)
		}
	})
}

func FuzzErrorBody(f *testing.F) {
	const credential = "0123456789abcdef"
	addShapes(f)
	f.Add([]byte("<error><error-message>key " + credential + " for https://u:p@h/?q</error-message></error>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		message := wildfire.ErrorMessage(body, credential)
		if len(message) > 200 || strings.Contains(message, credential) || strings.ContainsAny(message, "\r\n\t") {
			t.Fatalf("got %q", message)
		}
		for _, r := range message {
			if r < ' ' || r > '~' {
				t.Fatalf("got %q", message)
			}
		}
		if strings.Contains(message, "https://") && len(message) < 190 && !strings.HasSuffix(message, "https://") && !strings.ContainsAny(message[strings.Index(message, "https://")+8:][:1], " '\"<>") {
			t.Fatalf("a URL stayed: %q", message)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{"", "0", "120", "-1", "1e3", "99999999999999999999", "Sat, 21 Nov 2026 09:01:00 GMT", "Saturday, 21-Nov-26 09:01:00 GMT", "Sat Nov 21 09:01:00 2026"} {
		f.Add(value, int64(1_795_251_600))
	}
	f.Fuzz(func(t *testing.T, value string, now int64) {
		if wait := wildfire.ParseRetryAfter(value, time.Unix(now, 0)); wait < 0 || wait > wildfire.MaxRetryAfter {
			t.Fatalf("%q: got %v", value, wait)
		}
	})
}

func FuzzSafeFilename(f *testing.F) {
	for _, name := range []string{"", "a.exe", "../x", `C:\x.js`, "R&D.pdf", "\u202egpj.exe", ".js", "a.", strings.Repeat("é", 200) + ".docx", "a\r\nb", "\xff.bat"} {
		f.Add(name)
	}

	f.Fuzz(func(t *testing.T, name string) {
		safe := wildfire.SafeFilename(name)
		if safe == "" || len(safe) > 128 || strings.ContainsAny(safe, "\r\n\"\\/<>&';:%\x00") || strings.Trim(safe, ".") == "" {
			t.Fatalf("%q became %q", name, safe)
		}

		for _, r := range safe {
			if r < ' ' || r > '~' {
				t.Fatalf("%q became %q", name, safe)
			}
		}

		if again := wildfire.SafeFilename(safe); again != safe {
			t.Fatalf("%q became %q and then %q", name, safe, again)
		}
		if want := path.Ext(name); plain(want) && !strings.ContainsAny(name, `/\`) && path.Ext(safe) != want {
			t.Fatalf("%q lost its extension: %q", name, safe)
		}

		header := `form-data; name="file"; filename="` + safe + `"`
		if _, params, err := mime.ParseMediaType(header); err != nil || params["filename"] != safe {
			t.Fatalf("%q does not survive a header: %v", safe, err)
		}
	})
}

// plain matches an extension that has to be kept: a dot and a few letters and digits.
func plain(extension string) bool {
	if len(extension) < 2 || len(extension) > 16 {
		return false
	}
	for _, r := range extension[1:] {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
			return false
		}
	}
	return true
}
