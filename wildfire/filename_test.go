package wildfire_test

import (
	"strings"
	"testing"

	"backburn/wildfire"
)

func TestSafeFilename(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"invoice.exe":                      "invoice.exe",
		"Invoice (1) [final]+v2.tar.gz":    "Invoice (1) [final]+v2.tar.gz",
		"/var/tmp/x.js":                    "x.js",
		`C:\Users\me\x.js`:                 "x.js",
		"../../etc/passwd":                 "passwd",
		"R&D <a>\"b\";'c'.vbs":             "R_D _a__b___c_.vbs",
		"Rechnung für Köln.docm":           "Rechnung f_r K_ln.docm",
		"请求.hta":                           "__.hta",
		"a\r\nContent-Type: x.ps1":         "a__Content-Type_ x.ps1",
		"nul\x00.bat":                      "nul_.bat",
		"not utf-8 \xff\xfe.bat":           "not utf-8 __.bat",
		"photo\u202egpj.exe":               "photo_gpj.exe",
		"invoice.exe.":                     "invoice.exe",
		"invoice.exe  ":                    "invoice.exe",
		" . . ":                            "sample",
		"":                                 "sample",
		".":                                "sample",
		"..":                               "sample",
		"/":                                "sample",
		".js":                              "sample.js",
		"..js":                             "sample.js",
		"noextension":                      "noextension",
		strings.Repeat("x", 300) + ".js":   strings.Repeat("x", 125) + ".js",
		strings.Repeat("x", 300):           strings.Repeat("x", 128),
		"a." + strings.Repeat("y", 300):    "a." + strings.Repeat("y", 126),
		strings.Repeat("é", 300) + ".docx": strings.Repeat("_", 123) + ".docx",
		strings.Repeat("x", 120) + "    ....  .a": strings.Repeat("x", 120) + ".a",
	}
	for name, want := range tests {
		if got := wildfire.SafeFilename(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}
