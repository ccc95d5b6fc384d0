package pipeline

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// Rule is one entry [[policy]] of the configuration: its conditions, and what may leave. A
// condition that is not set matches everything. Texts are case-insensitive globs with **, [a-z] and
// {a,b}. The tags of a field hold its key in the configuration file, and the description of that
// key.
type Rule struct {
	Source    string            `toml:"source" example:"{hr,legal}" doc:"Glob of sources."`
	Name      string            `toml:"name" example:"contracts/**" doc:"Glob of the file's name or, if it contains a slash, of the relative path or the link. If contents come in a message or an object, the publisher chose the name."`
	Extension string            `toml:"extension" example:".{docx,xlsx}" doc:"Glob of the name's extension. Like the name, it may be the publisher's choice."`
	Type      string            `toml:"kind" example:"application/pdf" doc:"Glob of the MIME type that is detected from the contents, or of a more general one: a DOCX is application/zip as well. The author of a file can make it look like another type."`
	MinSize   int64             `toml:"min_size" unit:"bytes" example:"\"1MB\"" doc:"Smallest size."`
	MaxSize   int64             `toml:"max_size" unit:"bytes" example:"\"50MB\"" doc:"Largest size. \"0\": no limit."`
	Metadata  map[string]string `toml:"metadata" example:"{ classification = \"{confidential,secret}\" }" doc:"Globs of the job's metadata. All of them must match. The publisher chooses the metadata."`

	Submit        Submit   `toml:"submit" doc:"\"always\": contents may be uploaded. \"lookup\": WildFire is asked about the hash, and contents are never uploaded. \"never\": nothing is sent, not even the hash. If no verdict is known, the job fails with the reason withheld."`
	Priority      Priority `toml:"priority" doc:"Priority of matching jobs: \"urgent\", \"normal\" or \"bulk\". Empty: unchanged."`
	Report        Wish     `toml:"report" doc:"\"always\": WildFire's report about the contents is fetched for every verdict, and published for the source. \"never\": neither fetched nor published. Empty: reports.verdicts decides. If several jobs have the same contents, the report is fetched if one of them asks for it, and every source gets what its own jobs ask for."`
	UploadsPerDay int      `toml:"uploads_per_day" doc:"Uploads per day that the whole fleet may make by this rule, within wildfire.uploads_per_day. 0: no limit for this rule."`
}

// DefaultRule returns the defaults of a [[policy]].
func DefaultRule() Rule { return Rule{Metadata: map[string]string{}, Submit: SubmitAlways} }

// Check calls bad for each key with an invalid value, as [Config.Check] does.
func (r Rule) Check(bad func(key, expected string, related ...string)) {
	want := Wants(bad)
	for _, glob := range []struct{ key, text string }{{"source", r.Source}, {"name", r.Name}, {"extension", r.Extension}} {
		want(doublestar.ValidatePattern(glob.text), glob.key, "a glob such as \"*.pdf\" or \"{a,b}\"")
	}
	want(r.Type == "" || validKind(r.Type), "kind", `a glob of MIME types, such as "application/pdf" or "image/*"`)
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		want(doublestar.ValidatePattern(r.Metadata[key]), "metadata", "globs as values; the value of "+key+" is not a glob")
	}
	want(r.MinSize >= 0, "min_size", "0 or more")
	want(r.MaxSize >= 0, "max_size", "0 (no limit) or more")
	want(r.MaxSize == 0 || r.MaxSize >= r.MinSize, "max_size", "at least min_size", "min_size")
	want(slices.Contains(Submits(), r.Submit), "submit", `"always", "lookup" or "never"`)
	want(r.Priority == "" || r.Priority.Valid(), "priority", `"urgent", "normal" or "bulk", or "" for the job's own`)
	want(slices.Contains(Wishes(), r.Report), "report", `"always", "never" or "" (as reports.verdicts says)`)
	want(r.Report != ReportAlways || r.Submit != SubmitNever, "report", `anything but "always" where submit is "never": asking for a report sends the hash`, "submit")
	want(r.UploadsPerDay >= 0, "uploads_per_day", "0 (no limit) or more")
}

// validKind reports whether a glob can match a MIME type. A word such as "pdf" never does.
func validKind(glob string) bool {
	return doublestar.ValidatePattern(glob) && (strings.Contains(glob, "/") || strings.Contains(glob, "**"))
}

// String returns the conditions as they are written in the configuration.
func (r Rule) String() string {
	var parts []string
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, key+" = "+strconv.Quote(value))
		}
	}
	add("source", r.Source)
	add("name", r.Name)
	add("extension", r.Extension)
	add("kind", r.Type)
	if r.MinSize > 0 {
		parts = append(parts, fmt.Sprintf("min_size = %d", r.MinSize))
	}
	if r.MaxSize > 0 {
		parts = append(parts, fmt.Sprintf("max_size = %d", r.MaxSize))
	}
	for _, key := range slices.Sorted(maps.Keys(r.Metadata)) {
		add("metadata."+key, r.Metadata[key])
	}
	if len(parts) == 0 {
		return "everything"
	}

	return strings.Join(parts, ", ")
}

// RuleBudget is the number of uploads a day that one rule may use.
type RuleBudget struct {
	Key    string // identifies the rule by its conditions: one token of [a-z0-9-]
	Rule   string // the rule, for people
	PerDay int
}

// name returns the rule's name for people. i is its index in the configuration.
func (r Rule) name(i int) string { return fmt.Sprintf("policy[%d] (%s)", i, r) }

// budget returns the rule's own budget. Its key depends only on the rule's conditions, so it stays
// the same when rules are reordered. i is the rule's index in the configuration.
func (r Rule) budget(i int) RuleBudget {
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.String()))

	return RuleBudget{Key: fmt.Sprintf("rule-%016x", h.Sum64()), Rule: r.name(i), PerDay: r.UploadsPerDay}
}
