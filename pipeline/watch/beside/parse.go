package beside

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"backburn/pipeline"
)

// MaxSize is the maximum size of a description in bytes.
const MaxSize = 64 << 10

// MetadataError is the metadata key whose value says why a description could not be used.
const MetadataError = "metadata-error"

// Limits of the values from a Suricata record, and of a reason in MetadataError, in bytes.
const (
	maxURL   = 2048
	maxValue = 320
)

// Description is the filename and the metadata from one description.
type Description struct {
	Filename string            // base name; "" if the description has none
	Metadata map[string]string // within the limits of a job
}

// Apply copies the filename and the metadata into a job.
func (a Description) Apply(job *pipeline.Job) {
	if a.Filename != "" {
		job.Filename, job.FilenameB64 = pipeline.EncodeName(a.Filename)
	}
	if len(a.Metadata) > 0 {
		job.Metadata = a.Metadata
	}
}

// Unusable returns a Description in place of one that cannot be used. Its metadata has the reason,
// for policies and for the readers of events.
func Unusable(why error) Description {
	return Description{Metadata: map[string]string{MetadataError: pipeline.Cut(why.Error(), maxValue)}}
}

// Parse parses a description.
func (k Kind) Parse(text []byte) (Description, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if k == Suricata {
		var r record
		if err := d.Decode(&r); err != nil {
			return Description{}, fmt.Errorf("not a Suricata record: %w", err)
		}
		return r.description(), nil
	}

	var plain struct {
		Filename string                     `json:"filename"`
		Metadata map[string]json.RawMessage `json:"metadata"`
	}
	if err := d.Decode(&plain); err != nil {
		return Description{}, fmt.Errorf("unexpected JSON: %w", err)
	}
	a := Description{Filename: fileName(plain.Filename), Metadata: map[string]string{}}
	total := 0
	for _, key := range slices.Sorted(maps.Keys(plain.Metadata)) {
		value, err := scalar(plain.Metadata[key])
		if err != nil {
			return Description{}, fmt.Errorf("metadata.%.64s: %w", key, err)
		}
		a.Metadata[key] = value
		total += len(key) + len(value)
	}
	if len(a.Metadata) > pipeline.MaxMetadataPairs || total > pipeline.MaxMetadataBytes {
		return Description{}, fmt.Errorf("metadata of %d pairs and %d bytes; at most %d and %d",
			len(a.Metadata), total, pipeline.MaxMetadataPairs, pipeline.MaxMetadataBytes)
	}

	return a, nil
}

// scalar returns a JSON string, number or boolean as text, and an error for anything else.
func scalar(raw json.RawMessage) (string, error) {
	var s string
	switch text := string(raw); {
	case text == "true", text == "false", text[0] == '-', text[0] >= '0' && text[0] <= '9':
		return text, nil
	case text[0] != '"' || json.Unmarshal(raw, &s) != nil:
		return "", errors.New("expected a string, a number, true or false")
	}

	return s, nil
}

// record has the fields of Suricata's fileinfo records that descriptions use (docs.suricata.io, EVE
// JSON Format).
type record struct {
	Timestamp string      `json:"timestamp"`
	FlowID    json.Number `json:"flow_id"`
	SrcIP     string      `json:"src_ip"`
	SrcPort   json.Number `json:"src_port"`
	DestIP    string      `json:"dest_ip"`
	DestPort  json.Number `json:"dest_port"`
	AppProto  string      `json:"app_proto"`
	HTTP      struct {
		Hostname    string      `json:"hostname"`
		Port        json.Number `json:"http_port"`
		URL         string      `json:"url"`
		UserAgent   string      `json:"http_user_agent"`
		ContentType string      `json:"http_content_type"`
		Referrer    string      `json:"http_refer"`
		Method      string      `json:"http_method"`
		Status      json.Number `json:"status"`
	} `json:"http"`
	Email struct {
		From string   `json:"from"`
		To   []string `json:"to"`
	} `json:"email"`
	SMTP struct {
		From string   `json:"mail_from"`
		To   []string `json:"rcpt_to"`
	} `json:"smtp"`
	SMB struct {
		Share string `json:"share"`
	} `json:"smb"`
	FileInfo struct {
		Filename string        `json:"filename"`
		State    string        `json:"state"`
		Gaps     bool          `json:"gaps"`
		SID      []json.Number `json:"sid"`
	} `json:"fileinfo"`
}

func (r *record) description() Description {
	a := Description{Filename: fileName(r.FileInfo.Filename), Metadata: map[string]string{}}
	set := func(key, value string, limit int) {
		if value = pipeline.Cut(value, limit); value != "" {
			a.Metadata[key] = value
		}
	}

	set("time", r.Timestamp, maxValue)
	set("flow-id", r.FlowID.String(), maxValue)
	set("protocol", r.AppProto, maxValue)
	set("src", endpoint(r.SrcIP, r.SrcPort), maxValue)
	set("dest", endpoint(r.DestIP, r.DestPort), maxValue)
	set("url", r.url(), maxURL)
	set("host", r.HTTP.Hostname, maxValue)
	set("method", r.HTTP.Method, maxValue)
	set("status", r.HTTP.Status.String(), maxValue)
	set("user-agent", r.HTTP.UserAgent, maxValue)
	set("referrer", r.HTTP.Referrer, maxValue)
	set("content-type", r.HTTP.ContentType, maxValue)
	set("sender", cmp.Or(r.SMTP.From, r.Email.From), maxValue)
	set("recipients", cmp.Or(strings.Join(r.SMTP.To, ","), strings.Join(r.Email.To, ",")), maxValue)
	set("share", r.SMB.Share, maxValue)
	set("state", strings.ToLower(r.FileInfo.State), maxValue)
	if r.FileInfo.Gaps {
		set("gaps", "true", maxValue)
	}
	var rules []string
	for _, sid := range r.FileInfo.SID {
		rules = append(rules, sid.String())
	}
	set("rules", strings.Join(rules, ","), maxValue)

	return a
}

// url returns the URL from which the contents were loaded, or "".
func (r *record) url() string {
	h := &r.HTTP
	scheme, _, ok := strings.Cut(h.URL, "://")
	if h.URL == "" || ok && !strings.ContainsAny(scheme, "/?#") { // absolute, as in requests to a proxy
		return h.URL
	}
	host := h.Hostname
	if host == "" {
		return ""
	}
	if port := h.Port.String(); port != "" && port != "80" && port != "0" {
		host = net.JoinHostPort(host, port)
	}

	return "http://" + host + "/" + strings.TrimPrefix(h.URL, "/")
}

func endpoint(ip string, port json.Number) string {
	if ip == "" || port == "" {
		return ip
	}

	return net.JoinHostPort(ip, port.String())
}

// fileName cleans a file name from a description; it returns "" if nothing is left.
func fileName(s string) string { return pipeline.CleanName(pipeline.BaseName(s)) }
