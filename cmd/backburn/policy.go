package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/pipeline"
)

func policyCommand(tool *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Show what may be sent to WildFire",
	}
	cmd.AddCommand(policyTestCommand(tool))

	return cmd
}

func policyTestCommand(tool *cli.App) *cobra.Command {
	t := &policyTest{tool: tool}
	var submit string
	cmd := &cobra.Command{
		Use:   "test PATH…|URL…",
		Short: "Show which rule applies to a file, and what may be sent",
		Long: `Shows which [[policy]] entry applies to files, all files below folders, and links, and what may be
sent: contents and hash (always), only the hash (lookup), or nothing (never). It sends nothing
itself. It does not check whether a file is Backburn's own, or contains one of its secrets; such
files are never sent. Exit code 3 means that a file could not be read.

A file below a watched folder is treated as a file of that folder, others as files of --source.
With --gateway they are treated as if a gateway sent them in messages: their names and metadata are
not trusted, and can only restrict what is sent.`,
		Example: `  backburn policy test quarantine
  backburn policy test --source mail --gateway --metadata tlp=red offer.docx
  backburn policy test --json ~/Downloads | jq -r 'select(.submit != "always").path'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t.submit = pipeline.Submit(submit)
			if err := t.check(); err != nil {
				return err
			}

			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			t.cfg = cfg

			return t.run(cmd.Context(), args)
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.source, "source", "submit", "`name` of the source of files that are not in a watched folder")
	f.BoolVar(&t.gateway, "gateway", false, "treat them as files that came in a message")
	f.StringToStringVar(&t.metadata, "metadata", nil, "metadata of the jobs, as `key=value`")
	f.StringVar(&submit, "submit", "", "what the jobs `allow`: lookup or never")
	f.BoolVar(&t.asJSON, "json", false, "one JSON object per line")

	return cmd
}

// policyTest is one run of the command.
type policyTest struct {
	tool     *cli.App
	cfg      config.Config
	source   string
	gateway  bool
	metadata map[string]string
	submit   pipeline.Submit
	asJSON   bool
}

func (t *policyTest) check() error {
	if !pipeline.ValidSource(t.source) {
		return cli.Usagef("--source: expected %s, got %q", pipeline.SourceRule, t.source)
	}
	j := pipeline.Job{Submit: t.submit, Metadata: t.metadata}
	if err := j.CheckText(); err != nil {
		return cli.Exit(cli.Usage, err)
	}

	return nil
}

// policyAnswer is the policy's decision about a file.
type policyAnswer struct {
	Path     string            `json:"path,omitempty"`
	URL      string            `json:"url,omitempty"`
	Source   string            `json:"source"`
	Size     int64             `json:"size,omitempty"`  // in bytes
	Kinds    []string          `json:"kinds,omitempty"` // MIME types, the most specific first
	Submit   pipeline.Submit   `json:"submit"`
	Rule     string            `json:"rule"`
	Priority pipeline.Priority `json:"priority,omitempty"` // set by the rule
	Report   pipeline.Wish     `json:"report,omitempty"`   // "": reports.verdicts decides
}

func (t *policyTest) run(ctx context.Context, args []string) error {
	rows := newTable("SUBMIT", "SOURCE", "~KIND", ">SIZE", "~FILE", "~RULE")
	failed := 0
	err := walkArgs(ctx, args, func(path string, err error) error {
		var a policyAnswer
		if err == nil {
			a, err = t.applyPolicy(path)
		}

		if err != nil {
			failed++
			fmt.Fprintf(t.tool.Err, "%s: %s\n", cli.Printable(path), cli.Printable(err.Error()))

			return nil
		}

		if t.asJSON {
			return printJSON(t.tool.Out, a)
		}

		kind, size := "-", "-"
		if len(a.Kinds) > 0 {
			kind, size = a.Kinds[0], humanSize(a.Size)
		}

		rows.add(plain, string(a.Submit), a.Source, kind, size, cli.Printable(cmp.Or(a.URL, a.Path)), cli.Printable(a.Rule))

		return nil
	})
	if !t.asJSON && len(rows.rows) > 0 {
		rows.print(stdoutWriter(t.tool))
	}
	if err == nil && failed > 0 {
		err = cli.Exit(cli.Partial, fmt.Errorf("%s could not be read", plural(failed, "file")))
	}

	return err
}

func (t *policyTest) applyPolicy(arg string) (policyAnswer, error) {
	j := pipeline.Job{Source: t.source, Priority: pipeline.Normal, Metadata: t.metadata, Submit: t.submit}
	if isURL(arg) {
		if !isValidURL(arg) {
			return policyAnswer{}, errors.New("not a valid link")
		}

		j.Kind = pipeline.KindURL
		j.URL = arg

		return newPolicyAnswer(t.cfg.Pipeline, j, nil), nil
	}

	var err error
	if j.Source, j.Path, err = sourceAndPathOf(t.cfg, arg, t.source); err != nil {
		return policyAnswer{}, err
	}

	j.Kind = pipeline.KindFile
	j.Filename, j.FilenameB64 = pipeline.EncodeName(filepath.Base(arg))
	if !t.gateway {
		j.Content = &pipeline.Content{Path: j.Path}
	}

	f, err := os.Open(arg)
	if err != nil {
		return policyAnswer{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return policyAnswer{}, err
	case !info.Mode().IsRegular():
		return policyAnswer{}, errors.New("not a regular file")
	}

	head, err := io.ReadAll(io.LimitReader(f, pipeline.TypesBytes))
	if err != nil {
		return policyAnswer{}, err
	}

	j.Size = info.Size()

	a := newPolicyAnswer(t.cfg.Pipeline, j, pipeline.TypesOf(head))
	a.Path = arg

	return a, nil
}

func newPolicyAnswer(cfg pipeline.Config, j pipeline.Job, types []string) policyAnswer {
	r := cfg.RulingFor(pipeline.FactsOf(j, types), j)

	return policyAnswer{
		URL:      j.URL,
		Source:   j.Source,
		Size:     j.Size,
		Kinds:    types,
		Submit:   r.Submit,
		Rule:     r.Rule,
		Priority: r.Priority,
		Report:   r.Report,
	}
}

// sourceAndPathOf returns the source of the watched folder that contains the file, and the file's
// path relative to it. A file outside watched folders belongs to otherSource.
func sourceAndPathOf(cfg config.Config, name, otherSource string) (source, rel string, err error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", "", err
	}

	for _, w := range cfg.Watch {
		root, err := filepath.Abs(w.Path)
		if err != nil {
			return "", "", err
		}
		if below, err := filepath.Rel(root, abs); err == nil && filepath.IsLocal(below) {
			return w.Source, filepath.ToSlash(below), nil
		}
	}

	return otherSource, strings.TrimPrefix(filepath.ToSlash(filepath.Clean(name)), "/"), nil
}
