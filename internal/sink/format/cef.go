package format

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// cefLimits has the maximum lengths, in characters, that the standard gives for keys; cefLimit
// applies to the others.
var cefLimits = map[string]int{
	"act":      63,
	"cat":      1023,
	"fileHash": 255,
	"fileType": 1023,
	"fname":    1023,
	"filePath": 1023,
	"request":  1023,
	"reason":   1023,
	"msg":      1023,
	"suser":    1023,
	"shost":    1023,

	"externalId":        40,
	"sourceServiceName": 1023,

	"flexString1": 1023,
	"flexString2": 1023,
}

const cefLimit = 4000

// cef encodes the event in the Common Event Format, version 0.
func (e event) cef() string {
	var b strings.Builder
	fmt.Fprintf(&b, "CEF:0|%s|%s|%s|%s|%s|%d|",
		cefHeader(vendor), cefHeader(product), cefHeader(e.version),
		cefHeader(e.Type.Name()+"."+e.Outcome()), cefHeader(e.cefName()), SeverityOf(e.Event).CEF)

	first := true
	add := func(key, value string) {
		if !first {
			b.WriteByte(' ')
		}
		first = false
		b.WriteString(key)
		b.WriteByte('=')
		b.WriteString(value)
	}
	for _, r := range rows {
		v := r.value(e)
		if r.cef == "" || !isSet(v) {
			continue
		}
		add(r.cef, cefValue(r.cef, v))
		if label := r.labelOf(); label != "" {
			add(r.cef+"Label", cefText(label))
		}
	}
	add("outcome", e.ecsOutcome())

	return b.String()
}

// cefName returns the name in the header, for people. Events of one type and verdict have the same.
func (e event) cefName() string {
	switch e.Type.Name() {
	case "submitted":
		return "WildFire analysis started"
	case "failed":
		return "No WildFire verdict"
	case "changed":
		return "WildFire verdict changed: " + e.Data.Verdict
	case "audit":
		return "Audit: " + e.Outcome()
	case "report":
		return "WildFire report: " + e.Data.Verdict
	}

	return "WildFire verdict: " + e.Data.Verdict
}

// cefValue encodes the value of a key, cut to the key's maximum length.
func cefValue(key string, v any) string {
	limit := cefLimit
	if n, ok := cefLimits[key]; ok {
		limit = n
	}
	switch v := v.(type) {
	case time.Time:
		return strconv.FormatInt(v.UnixMilli(), 10)
	case int64:
		return strconv.FormatInt(v, 10)
	case bool:
		return "simulated"
	case map[string]string:
		b, _ := json.Marshal(v) // strings always encode
		return cefText(cut(string(b), limit))
	case string:
		return cefText(cut(v, limit))
	}

	return ""
}

// cut shortens a text to limit characters.
func cut(s string, limit int) string {
	n := 0
	for i := range s {
		if n == limit {
			return s[:i]
		}
		n++
	}

	return s
}

var (
	textEscapes   = strings.NewReplacer(`\`, `\\`, "=", `\=`, "\n", `\n`, "\r", `\r`)
	headerEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`)
)

// cefText escapes a value: backslash, equals sign and line ends.
func cefText(s string) string { return strings.Map(visible, textEscapes.Replace(s)) }

// cefHeader escapes a header field: backslash and pipe. A header field cannot contain line ends.
func cefHeader(s string) string { return strings.Map(visible, headerEscapes.Replace(s)) }

// visible replaces characters that could control a terminal or end a line.
func visible(r rune) rune {
	if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
		return ' '
	}

	return r
}
