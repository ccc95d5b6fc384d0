package readable_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

const glossaryPage = "docs/glossary.md"

// allowed are the places where a retired word is right.
var allowed = map[string]string{
	"WithBatcher": "a function of OpenTelemetry",
}

// retired is a word that the glossary replaced.
type retired struct {
	names bool // not allowed as a part of an identifier or a file's name
	text  bool // not allowed in comments, messages and documents
}

// retiredWords reads the last table of the glossary.
func retiredWords(t *testing.T) map[string]retired {
	t.Helper()
	pages := files(t, glossaryPage)
	_, table, found := strings.Cut(string(pages[0].text), "## Retired words")
	if !found {
		t.Fatalf("%s has no table of retired words", glossaryPage)
	}

	words := map[string]retired{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\w+) \| .* \| (names|names and text) \|$`).FindAllStringSubmatch(table, -1) {
		words[row[1]] = retired{names: true, text: row[2] == "names and text"}
	}

	return words
}

// wordsOf splits an identifier or a file's name: "newInFlight" is new, inFlight. In flight is a
// term of its own.
func wordsOf(name string) []string {
	var words []string
	start := 0
	runes := []rune(name)
	cut := func(end int) {
		if end > start {
			words = append(words, strings.ToLower(string(runes[start:end])))
		}
		start = end
	}
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			cut(i)
			start = i + 1
		case unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || (i+1 < len(runes) && unicode.IsLower(runes[i+1]))):
			cut(i)
		}
	}
	cut(len(runes))

	for i := 1; i < len(words); i++ {
		if words[i-1] == "in" && words[i] == "flight" {
			words = slices.Replace(words, i-1, i+1, "in flight")
		}
	}

	return words
}

var proseWord = regexp.MustCompile(`[A-Za-z]+`)

// inGo finds retired words in the source of a Go file.
func inGo(f file, words map[string]retired, used map[string]bool) ([]string, error) {
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, f.path, f.text, parser.ParseComments)
	if err != nil {
		return nil, err
	}

	found := map[string]bool{}
	fault := func(pos token.Pos, where, word string) {
		found[fmt.Sprintf("%s:%d: %q in %s", f.path, fset.Position(pos).Line, word, where)] = true
	}
	prose := func(pos token.Pos, where, text string) {
		for _, word := range proseWord.FindAllString(text, -1) {
			if words[strings.ToLower(word)].text {
				fault(pos, where, word)
			}
		}
	}

	tags := map[*ast.BasicLit]bool{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if _, ok := allowed[n.Name]; ok {
				used[n.Name] = true
				return true
			}
			for _, word := range wordsOf(n.Name) {
				if words[word].names {
					fault(n.Pos(), "the name "+n.Name, word)
				}
			}
		case *ast.Field:
			if n.Tag != nil {
				tags[n.Tag] = true
			}
		case *ast.BasicLit:
			text, err := strconv.Unquote(n.Value)
			if err == nil && n.Kind == token.STRING && (tags[n] || strings.Contains(text, " ")) {
				prose(n.Pos(), "a string", text)
			}
		}

		return true
	})
	for _, group := range parsed.Comments {
		prose(group.Pos(), "a comment", group.Text())
	}

	return slices.Sorted(maps.Keys(found)), nil
}

func TestRetiredWordsAreGone(t *testing.T) {
	t.Parallel()
	words := retiredWords(t)
	if len(words) < 20 {
		t.Fatalf("the glossary retires only %d words", len(words))
	}

	used := map[string]bool{}
	for _, f := range files(t, ".go") {
		found, err := inGo(f, words, used)
		if err != nil {
			t.Error(err)
		}
		for _, fault := range found {
			t.Error(fault)
		}
		for _, word := range wordsOf(strings.TrimSuffix(path.Base(f.path), ".go")) {
			if words[word].names {
				t.Errorf("%s: %q in the file's name", f.path, word)
			}
		}
	}
	for _, f := range files(t, ".md", ".toml", ".yml", ".yaml", ".html", ".js", ".py", ".sh") {
		if f.path == glossaryPage || f.path == "CHANGELOG.md" { // the changelog speaks of the past
			continue
		}
		for n, line := range strings.Split(string(f.text), "\n") {
			for _, word := range proseWord.FindAllString(line, -1) {
				if words[strings.ToLower(word)].text {
					t.Errorf("%s:%d: %q", f.path, n+1, word)
				}
			}
		}
	}
	for name, why := range allowed {
		if !used[name] {
			t.Errorf("%s (%s) is used nowhere: take it off the list", name, why)
		}
	}
}

// TestRetiredWordsAreFound keeps the check itself honest.
func TestRetiredWordsAreFound(t *testing.T) {
	t.Parallel()
	words := map[string]retired{"gate": {names: true, text: true}, "flight": {names: true}, "hand": {names: true}}
	for code, want := range map[string]int{
		"var gate int":                             1,
		"var newGateOf int":                        1,
		"var investigate int":                      0,
		"var flight int":                           1,
		"var maxInFlight, InFlight, inFlight int":  0,
		"var handle, HandlerFunc int":              0,
		"// The gate is open.":                     1,
		"// A flight is fine in text.":             0,
		`var _ = "the gate is open"`:               1,
		`var _ = "gate"`:                           0, // a key, not text
		"type _ struct {\nA int `doc:\"gate\"`\n}": 1,
	} {
		got, err := inGo(file{path: "x.go", text: []byte("package x\n\n" + code + "\n")}, words, map[string]bool{})
		if err != nil || len(got) != want {
			t.Errorf("%s: %q, %v; want %d", code, got, err, want)
		}
	}
}

// TestGlossaryHasOneMeaning checks that no term has two entries, and that every term in italics has
// one.
func TestGlossaryHasOneMeaning(t *testing.T) {
	t.Parallel()
	page, _, _ := strings.Cut(string(files(t, glossaryPage)[0].text), "## Retired words")
	terms := map[string]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([a-zA-Z ]+) \| [^|]+ \|$`).FindAllStringSubmatch(page, -1) {
		if row[1] == "term" {
			continue
		}
		if terms[row[1]] {
			t.Errorf("%q has two entries", row[1])
		}
		terms[row[1]] = true
	}
	if len(terms) < 40 {
		t.Errorf("only %d terms", len(terms))
	}

	for _, m := range regexp.MustCompile(`(?:^|[ (])\*([a-z ]+)\*`).FindAllStringSubmatch(page, -1) {
		word := m[1]
		if word == "italics" {
			continue
		}
		for _, suffix := range []string{"s", "ted", "d"} {
			if !terms[word] && terms[strings.TrimSuffix(word, suffix)] {
				word = strings.TrimSuffix(word, suffix)
			}
		}
		if !terms[word] {
			t.Errorf("%q is in italics and has no entry", m[1])
		}
	}
}
