package config

import (
	"time"

	"backburn/internal/local"
	"backburn/pipeline"
)

// Mail is a filter for mail servers that speak the milter protocol.
type Mail struct {
	Listen         string            `toml:"listen" doc:"Socket or address, such as \"unix:/run/backburn/mail.sock\" or \"127.0.0.1:9466\". Empty: off. Clients are not authenticated."`
	Mode           string            `toml:"mode" doc:"Mode of the socket, in octal. Whoever may write to it may submit mail."`
	MaxConnections int               `toml:"max_connections" doc:"Connections at a time. Others wait."`
	Source         string            `toml:"source" doc:"Source of the attachments' jobs."`
	Priority       pipeline.Priority `toml:"priority" doc:"\"urgent\", \"normal\" or \"bulk\"."`
	Wait           time.Duration     `toml:"wait" doc:"How long a mail is held for the verdicts on its attachments. At most 4m, because Postfix gives up after 5m. 0s: it passes at once, unless an attachment is known to be malicious."`
	Malicious      string            `toml:"malicious" doc:"What to do with a mail that has a malicious attachment: \"reject\", \"quarantine\" (Postfix holds it) or \"header\" (mark it and let it pass)."`
	Unknown        string            `toml:"unknown" doc:"What to do with a mail that has no verdict by then: \"accept\" (mark it and let it pass) or \"tempfail\" (the sender tries again)."`
	Header         string            `toml:"header" doc:"Name of the header with the result. Headers of that name in an incoming mail are removed."`
	MaxMessage     int64             `toml:"max_message" unit:"bytes" doc:"Largest mail. Larger ones are rejected."`
	MaxParts       int               `toml:"max_parts" doc:"Most attachments of a mail. A mail with more is rejected."`
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
