package config

import (
	"time"

	"backburn/internal/local"
	"backburn/pipeline"
)

// Mail is a filter for mail servers that speak the milter protocol.
type Mail struct {
	Listen         string            `toml:"listen" doc:"Such as \"unix:/run/backburn/mail.sock\" or \"127.0.0.1:9466\". Empty: none. It authenticates nobody."`
	Mode           string            `toml:"mode" doc:"Of the socket, in octal. Who may write to it may hand mail in."`
	MaxConnections int               `toml:"max_connections" doc:"At a time; others wait."`
	Source         string            `toml:"source" doc:"For the attachments."`
	Priority       pipeline.Priority `toml:"priority" doc:"\"urgent\", \"normal\" or \"bulk\"."`
	Wait           time.Duration     `toml:"wait" doc:"A mail is held for the verdicts on its attachments, at most 4m: Postfix gives up after 5m. 0s: it passes at once, unless something in it is known to be malicious."`
	Malicious      string            `toml:"malicious" doc:"What becomes of a mail with something malicious: \"reject\", \"quarantine\" (Postfix holds it) or \"header\" (it passes, marked)."`
	Unknown        string            `toml:"unknown" doc:"And of one that waits for a verdict still: \"accept\" (marked) or \"tempfail\" (the sender tries again)."`
	Header         string            `toml:"header" doc:"Name of the header that tells the outcome. Those that a mail brings along are removed."`
	MaxMessage     int64             `toml:"max_message" unit:"bytes" doc:"Of a mail. A larger one is rejected."`
	MaxParts       int               `toml:"max_parts" doc:"Attachments of a mail. One with more is rejected."`
}

// Check is the rules of [mail].
func (m Mail) Check(bad func(key, expected string, beside ...string)) {
	want := wants(bad)
	want(local.Valid(m.Listen), "listen", local.Rule)
	_, err := FileMode(m.Mode)
	want(err == nil, "mode", permissionsRule)
	want(m.MaxConnections >= 1 && m.MaxConnections <= 10_000, "max_connections", "1 to 10000")
	want(pipeline.ValidSource(m.Source), "source", nameRule)
	want(m.Priority.Valid(), "priority", `"urgent", "normal" or "bulk"`)
	want(m.Wait >= 0 && m.Wait <= 4*time.Minute, "wait", "0s to 4m")
	want(m.Malicious == "reject" || m.Malicious == "quarantine" || m.Malicious == "header", "malicious", `"reject", "quarantine" or "header"`)
	want(m.Unknown == "accept" || m.Unknown == "tempfail", "unknown", `"accept" or "tempfail"`)
	want(headerName(m.Header), "header", "a name of 1 to 64 letters, digits and hyphens")
	want(m.MaxMessage > 0, "max_message", "more than 0")
	want(m.MaxParts >= 1 && m.MaxParts <= 1000, "max_parts", "1 to 1000")
}

// headerName reports whether s can be the name of a header (RFC 5322, 2.2), and looks like one.
func headerName(s string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' {
			return false
		}
	}

	return s != "" && len(s) <= 64
}
