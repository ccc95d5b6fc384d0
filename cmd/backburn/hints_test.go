package main

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"backburn/internal/cli"
)

var (
	// A command in a message or a document, in backquotes: `backburn token wildfire --status`.
	hint = regexp.MustCompile("`backburn ([^`\n]+)`")

	// A command on its own line in a document, without shell syntax.
	lineOfItsOwn = regexp.MustCompile(`(?m)^(?:systemctl \S+ \S+ && )?(?:go run \./cmd/)?backburn ([a-z][^\n#>|]*)`)

	// Values that Go code inserts into such a text.
	spliced = regexp.MustCompile(`" ?\+ ?[\w.()]+ ?\+ ?"|%[sqvd]`)
)

// suggestedCommands returns the commands that the sources and the documents suggest, and where.
func suggestedCommands(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(filepath.Join("..", ".."), func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "testdata", "node_modules"}, d.Name()):
			return fs.SkipDir
		case d.IsDir(), strings.HasSuffix(path, "_test.go"), !slices.Contains([]string{".go", ".md", ".yml", ".html"}, filepath.Ext(path)):
			return nil
		}

		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}

		for _, m := range hint.FindAllStringSubmatch(spliced.ReplaceAllString(string(text), "x"), -1) {
			found[m[1]] = path
		}

		if filepath.Ext(path) == ".md" {
			for _, block := range strings.Split(string(text), "```")[1:] {
				for _, m := range lineOfItsOwn.FindAllStringSubmatch(block, -1) {
					found[strings.TrimSpace(m[1])] = path
				}
			}
		}

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	return found
}

// checkCommandLine returns an error if the command line is invalid. Documents also mention commands
// by name only; with names set, these must be valid too.
func checkCommandLine(line string, names bool) error {
	root := rootCommand(cli.Std{Env: func(string) (string, bool) { return "", false }, Out: io.Discard, Err: io.Discard})
	root.InitDefaultCompletionCmd()
	var args []string
	for _, a := range strings.Fields(strings.ReplaceAll(line, "…", "")) {
		args = append(args, strings.Trim(a, `"'`))
	}

	cmd, rest, err := root.Find(args)
	if err != nil {
		return err
	}
	if cmd == root && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return cli.Usagef("there is no command %s", rest[0])
	}

	if err := cmd.ParseFlags(rest); errors.Is(err, pflag.ErrHelp) {
		return nil
	} else if err != nil && (names || !strings.Contains(err.Error(), "needs an argument")) {
		return err
	}

	if !names {
		return nil // it only names a command and its flags
	}
	if cmd.HasSubCommands() && cmd.Args == nil {
		return nil
	}

	return cmd.ValidateArgs(cmd.Flags().Args())
}

// Every command that a message or a document suggests exists, with valid flags and the right number
// of arguments.
func TestHintsAreCommands(t *testing.T) {
	t.Parallel()
	all := suggestedCommands(t)
	if len(all) < 70 {
		t.Errorf("found %d hints only: %q", len(all), all)
	}

	for line, file := range all {
		if strings.ContainsAny(line, "|<[{") { // a synopsis, not a command line
			continue
		}
		if err := checkCommandLine(line, strings.HasSuffix(file, ".go")); err != nil {
			t.Errorf("%s suggests `backburn %s`: %v", file, line, err)
		}
	}

	for _, wrong := range []string{"tokens --status", "token --state", "acl gateway consumer", "results --since x"} {
		if checkCommandLine(wrong, true) == nil {
			t.Errorf("`backburn %s` passes for a command", wrong)
		}
	}
}
