package pipeline

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/gabriel-vasile/mimetype"
)

// Facts are what rules match. The name of a file in a folder is known. The names and the metadata
// in a publisher's message are only declared.
type Facts struct {
	Source   string
	Kind     Kind
	Size     int64    // in bytes
	Types    []string // MIME types, the most specific first; see TypesOf
	URL      string   // of a link
	Name     string   // of the file, if it is known
	Path     string   // of the file, relative to the source's folder, if it is known
	Declared Declared
	Metadata map[string]string
}

// Declared is the name that a publisher declared for a file. It is not trusted.
type Declared struct{ Name, Path string }

// FactsOf collects the facts about a job whose contents were read. types are the MIME types of the
// contents.
func FactsOf(j Job, types []string) Facts {
	f := Facts{
		Source:   j.Source,
		Kind:     j.Kind,
		Size:     j.Size,
		Types:    types,
		URL:      j.URL,
		Declared: Declared{Name: rawName(j.Filename, j.FilenameB64), Path: rawName(j.Path, j.PathB64)},
		Metadata: j.Metadata,
	}
	if j.Content == nil || j.Content.Name() == "" {
		return f
	}

	f.Name = path.Base(j.Content.Name())
	if original, ok := strings.CutPrefix(j.Content.Name(), ClaimedDir+"/"+j.ID+"-"); ok {
		f.Name = original // Path stays empty: the file was moved, and its old path is only in Job.Path, which is declared
	} else {
		f.Path = j.Content.Name()
	}

	return f
}

func rawName(text string, b64 []byte) string {
	if b64 != nil {
		return string(b64)
	}

	return text
}

// TypesBytes is how many bytes TypesOf needs from the beginning of the contents.
const TypesBytes = 3072

// TypesOf detects the MIME types of contents from their beginning, the most specific first.
func TypesOf(head []byte) []string {
	var types []string
	for m := mimetype.Detect(head); m != nil; m = m.Parent() {
		name, _, _ := strings.Cut(m.String(), ";")
		if len(types) == 0 || m.Parent() != nil { // leave out the most general type, application/octet-stream
			types = append(types, name)
		}
	}

	return types
}

// Ruling is what the policy says about a job. The zero value lets nothing leave.
type Ruling struct {
	Submit   Submit
	Priority Priority     // priority of the job from now on; "": unchanged
	Rule     string       // what decided, for people: the rule, or another setting
	Report   Wish         // whether the report about the contents is wanted
	Budgets  []RuleBudget // daily budgets of the rules that matched
}

// Unruled is the ruling if no rule matches: contents may be uploaded.
func Unruled() Ruling { return Ruling{Submit: SubmitAlways, Rule: "no rule matches"} }

// RulingFor finds the ruling for a job. What a publisher declared can only restrict it: a rule that
// matches only by declared facts cannot allow more than the first rule that matches by known facts.
func (c Config) RulingFor(f Facts, j Job) Ruling {
	first, limit := -1, -1
	for i, r := range c.Rules {
		known, declared := r.matches(f)
		if first < 0 && (known || declared) {
			first = i
		}
		if known {
			limit = i
			break
		}
	}

	ruling := c.combine(first, limit, j)
	if types := f.Types; ruling.Submit == SubmitAlways && c.refusesType(f) {
		ruling.Submit = SubmitLookup
		ruling.Rule = fmt.Sprintf("wildfire.refused_kinds (%s)", types[0])
	}
	if j.Submit != "" && j.Submit.rank() < ruling.Submit.rank() {
		ruling.Submit = Submits()[SubmitAlways.rank()-j.Submit.rank()] // SubmitNever if the value is unknown
		ruling.Rule = fmt.Sprintf("the job (submit = %q)", j.Submit)
		if j.SubmitReason != "" {
			ruling.Rule = fmt.Sprintf("the job (submit = %q: %s)", j.Submit, j.SubmitReason)
		}
	}

	return ruling
}

// combine makes a ruling from two rules: the one that matched first, and the one that limits it. -1
// means that there is none.
func (c Config) combine(first, limit int, j Job) Ruling {
	ruling := Unruled()
	if limit >= 0 {
		ruling = c.rulingOf(limit)
	}
	if first < 0 || first == limit {
		return ruling
	}

	declared := c.rulingOf(first)
	budgets := append(declared.Budgets, ruling.Budgets...)
	current := j.Priority
	if ruling.Priority != "" {
		current = ruling.Priority
	}
	switch {
	case declared.Submit.rank() > ruling.Submit.rank():
		ruling.Rule += fmt.Sprintf("; policy[%d] would allow more, but relies on the publisher's statements", first)
		return ruling
	case declared.Priority == "" || declared.Priority.Before(current):
		declared.Priority = ruling.Priority
	}
	if declared.Report.rank() > ruling.Report.rank() {
		declared.Report = ruling.Report
	}
	declared.Budgets = budgets

	return declared
}

func (c Config) rulingOf(i int) Ruling {
	r := c.Rules[i]
	ruling := Ruling{
		Submit:   r.Submit,
		Priority: r.Priority,
		Report:   r.Report,
		Rule:     r.name(i),
	}
	if r.UploadsPerDay > 0 {
		ruling.Budgets = []RuleBudget{r.budget(i)}
	}

	return ruling
}

// RuleBudgets lists the budgets of all rules that have one.
func (c Config) RuleBudgets() []RuleBudget {
	var budgets []RuleBudget
	for i, r := range c.Rules {
		if r.UploadsPerDay > 0 {
			budgets = append(budgets, r.budget(i))
		}
	}

	return budgets
}

// NeedsTypes reports whether the policy depends on the types of contents.
func (c Config) NeedsTypes() bool {
	return len(c.RefusedKinds) > 0 || slices.ContainsFunc(c.Rules, func(r Rule) bool { return r.Type != "" })
}

// acceptedExtensions are extensions of files that WildFire accepts, whatever their contents look
// like. WildFire recognizes scripts by their extension. A user's computer, too, chooses by the
// extension which program opens a file, even if its beginning looks like another type.
var acceptedExtensions = extensions("7z apk app asp aspx bat class cmd csv dll dmg doc docm docx dot elf exe fon hta htm html iqy jar jnlp js " +
	"jse lnk macho msi ocx pdf pkg pl ppt pptm pptx ps1 py rar rtf scr sh slk swf sys vbe vbs wsf xls xlsb xlsm xlsx xml zip")

func extensions(list string) map[string]bool {
	set := map[string]bool{}
	for ext := range strings.FieldsSeq(list) {
		set["."+ext] = true
	}

	return set
}

// refusesType reports whether contents are of a kind that WildFire is known to refuse. An extension
// that WildFire accepts takes precedence over the type of the contents.
func (c Config) refusesType(f Facts) bool {
	for _, name := range []string{f.Name, f.Declared.Name} {
		if acceptedExtensions[strings.ToLower(path.Ext(name))] {
			return false
		}
	}

	return slices.ContainsFunc(c.RefusedKinds, func(glob string) bool { return anyMatch(glob, f.Types) })
}

// matches reports whether the rule matches by known facts, and whether it matches if the
// publisher's declarations are taken into account.
func (r Rule) matches(f Facts) (known, declared bool) {
	switch {
	case !match(r.Source, f.Source):
		return false, false
	case f.Kind == KindURL && (r.Extension != "" || r.Type != "" || r.MinSize > 0 || r.MaxSize > 0):
		return false, false
	case r.Type != "" && !anyMatch(r.Type, f.Types):
		return false, false
	case f.Size < r.MinSize, r.MaxSize > 0 && f.Size > r.MaxSize:
		return false, false
	}

	names := r.matchesName(f.Name, f.Path, f.URL)
	labels := r.matchesMetadata(f.Metadata)
	known = names && len(r.Metadata) == 0
	declared = labels && (names || r.matchesName(f.Declared.Name, f.Declared.Path, ""))

	return known, declared
}

// matchesName reports whether the conditions on names match a file's name and path, or a link.
func (r Rule) matchesName(name, rel, url string) bool {
	if r.Name != "" {
		against := name
		if strings.Contains(r.Name, "/") {
			against = rel + url
		}
		if against == "" || !match(r.Name, against) {
			return false
		}
	}
	if r.Extension == "" {
		return true
	}
	ext := strings.TrimPrefix(path.Ext(name), ".")

	return name != "" && match(strings.TrimPrefix(r.Extension, "."), ext)
}

// matchesMetadata reports whether the conditions on metadata match.
func (r Rule) matchesMetadata(metadata map[string]string) bool {
	for key, glob := range r.Metadata {
		found := false
		for k, v := range metadata {
			found = found || strings.EqualFold(k, key) && match(glob, v)
		}
		if !found {
			return false
		}
	}

	return true
}

// match matches a case-insensitive glob; "" matches everything.
func match(glob, text string) bool {
	return glob == "" || doublestar.MatchUnvalidated(strings.ToLower(glob), strings.ToLower(text))
}

func anyMatch(glob string, texts []string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return match(glob, text) })
}
