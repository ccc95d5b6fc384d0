// Command apk checks a package as apk-tools does before it installs one, and takes it apart:
//
//	go run ./packaging/apk -name backburn -version 0.2.1 -arch x86_64 -into DIR FILE
//
// DIR gets data.tar, the list of its entries, and the scripts. The command ends non-zero with all
// faults that it finds. It does not check the signature: packaging/verify does.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "apk:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("apk", flag.ContinueOnError)
	var want expected
	flags.StringVar(&want.name, "name", "", "the package's name")
	flags.StringVar(&want.version, "version", "", "its version")
	flags.StringVar(&want.arch, "arch", "", "its architecture, as Alpine calls it")
	depends := flags.String("depends", "", "the packages it depends on, separated by commas")
	scripts := flags.String("scripts", "", "the scripts it has, separated by commas")
	into := flags.String("into", "", "the folder that gets its parts")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("name one file")
	}
	want.depends = list(*depends)
	want.scripts = list(*scripts)

	file := flags.Arg(0)
	raw, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	p, err := open(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := p.check(want); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := p.write(*into); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s: %d entries, %d bytes\n", filepath.Base(file), len(p.data), p.size())

	return nil
}

func list(text string) []string {
	items := strings.FieldsFunc(text, func(r rune) bool { return r == ',' })
	slices.Sort(items)

	return items
}

// write puts the parts of the package into a folder: data.tar, entries (one name a line, in the
// order of the package), and the scripts without the dot of their names.
func (p *apk) write(dir string) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // other users read it in the root
		return err
	}

	var entries strings.Builder
	for _, e := range p.data {
		fmt.Fprintln(&entries, e.name)
	}
	files := map[string][]byte{
		"data.tar": p.dataTar,
		"entries":  []byte(entries.String()),
	}
	for _, e := range p.control {
		if e.name != infoName {
			files[strings.TrimPrefix(e.name, ".")] = e.content
		}
	}

	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o755); err != nil { //nolint:gosec // scripts are executed
			return err
		}
	}

	return nil
}
