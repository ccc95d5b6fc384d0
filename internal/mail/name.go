package mail

import (
	"unicode/utf8"

	"backburn/pipeline"
)

// extensions maps types of text and scripts to the extensions by which WildFire recognizes them.
var extensions = map[string]string{
	"application/hta":               ".hta",
	"application/javascript":        ".js",
	"application/x-javascript":      ".js",
	"application/x-powershell":      ".ps1",
	"application/x-vbs":             ".vbs",
	"text/ecmascript":               ".js",
	"text/html":                     ".html",
	"text/javascript":               ".js",
	"text/vbs":                      ".vbs",
	"text/vbscript":                 ".vbs",
	"text/x-powershell":             ".ps1",
	"application/x-shellscript":     ".sh",
	"text/x-shellscript":            ".sh",
	"application/x-ms-shortcut":     ".lnk",
	"application/x-windows-gadget":  ".gadget",
	"application/x-silverlight-app": ".xap",
}

// baseName returns a clean file name from a mail; "" if nothing is left of it.
func baseName(s string) string { return pipeline.CleanName(fromWindows1252(pipeline.BaseName(s))) }

// fromWindows1252 converts s from windows-1252, the most likely charset, unless s is valid UTF-8.
func fromWindows1252(s string) string {
	if utf8.ValidString(s) {
		return s
	}

	return toUTF8("windows-1252", s)
}

// fileName returns the file name of a part, or "" if it has none.
func fileName(h *header) string {
	for _, f := range []struct{ field, parameter string }{
		{"content-disposition", "filename"},
		{"content-type", "name"},
		{"content-disposition", "name"},
		{"content-type", "filename"},
	} {
		for _, value := range h.all(f.field) {
			_, found := params(value)
			if name := baseName(found.get(f.parameter)); name != "" {
				return name
			}
		}
	}

	return ""
}

// nameOf returns the file name of a part, or its number with an extension for its type.
func nameOf(h *header, number string) string {
	if name := fileName(h); name != "" {
		return name
	}
	kind, _ := params(h.get("content-type"))

	return "part" + number + extensions[kind]
}

// isSavedAsFile reports whether a part is meant to be saved as a file: it has a name, or a
// disposition other than inline (RFC 2183, 2.8).
func isSavedAsFile(h *header) bool {
	for _, name := range []string{"content-disposition", "content-type"} {
		for _, value := range h.all(name) {
			word, found := params(value)
			if found.get("filename") != "" || found.get("name") != "" || name == "content-disposition" && word != "" && word != "inline" {
				return true
			}
		}
	}

	return false
}
