package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/wildfire"
)

func reportCommand(tool *cli.App) *cobra.Command {
	var (
		format, output string
		asJSON         bool
	)
	cmd := &cobra.Command{
		Use:   "report HASH",
		Short: "Fetch WildFire's report about a file",
		Long: `Fetches the report about a file by its SHA-256 or MD5, with the credential of the
configuration, and prints what is in it. Reports come some time after verdicts. Each one costs
one of the day's queries.

--format takes WildFire's own document instead: pdf, xml or maec (JSON). A PDF goes to a file or
into a pipe, never onto a terminal.`,
		Example: `  backburn report 44d88612fea8a8f36de82e1278abb02f
  backburn report 44d88612fea8a8f36de82e1278abb02f --format pdf -o report.pdf
  backburn report 44d88612fea8a8f36de82e1278abb02f --json | jq .File`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			hash := strings.ToLower(args[0])
			switch {
			case !anyHash.MatchString(hash):
				return cli.Usagef("expected a SHA-256 or an MD5, got %q", args[0])
			case !slices.Contains([]string{"", "pdf", "xml", "maec"}, format):
				return cli.Usagef("--format: expected pdf, xml or maec, got %q", format)
			case format != "" && asJSON:
				return cli.Usagef("either --format or --json")
			case format == "pdf" && (output == "" || output == "-") && isTerminal(tool.Out):
				return cli.Usagef("a PDF is nothing for a terminal: -o FILE, or a pipe")
			}
			cfg, err := tool.Config()
			if err != nil {
				return err
			}
			s, err := connectWildFire(cmd.Context(), tool, cfg, "report")
			if err != nil {
				return err
			}
			defer s.close()
			defer s.charge(cmd.Context(), 1)
			return toOutput(tool, output, func(w io.Writer) error {
				return s.writeReport(cmd.Context(), w, hash, format, asJSON)
			})
		},
	}
	cmd.Flags().StringVar(&format, "format", "", "WildFire's own document: pdf, xml or maec")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to `file`; - is standard output")
	cmd.Flags().BoolVar(&asJSON, "json", false, "what is in the report, as JSON")
	return cmd
}

// toOutput writes to standard output, or to a file that is there only if it is whole.
func toOutput(tool *cli.App, name string, write func(io.Writer) error) error {
	if name == "" || name == "-" {
		return write(tool.Out)
	}
	f, err := os.CreateTemp(dirOf(name), ".backburn-*")
	if err != nil {
		return err
	}
	err = write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

func dirOf(name string) string {
	if i := strings.LastIndexAny(name, `/`+string(os.PathSeparator)); i >= 0 {
		return name[:i+1]
	}
	return "."
}

// writeReport fetches a report in a format and writes it.
func (s *service) writeReport(ctx context.Context, w io.Writer, hash, format string, asJSON bool) error {
	var err error
	switch format {
	case "pdf":
		_, err = s.ReportPDF(ctx, hash, w)
	case "xml":
		var doc []byte
		if doc, err = s.ReportXML(ctx, hash); err == nil {
			_, err = w.Write(doc)
		}
	case "maec":
		var doc json.RawMessage
		if doc, err = s.ReportMAEC(ctx, hash); err == nil {
			_, err = fmt.Fprintln(w, string(bytes.TrimSpace(doc)))
		}
	default:
		var r wildfire.Report
		switch r, err = s.Report(ctx, hash); {
		case err != nil:
		case asJSON:
			err = printJSON(w, r)
		default:
			printReport(w, r)
		}
	}
	if errors.Is(err, wildfire.ErrNotReady) || errors.Is(err, wildfire.ErrNotFound) {
		return cli.Exit(cli.Partial, fmt.Errorf("there is no report on %s: WildFire does not know it, or is not done with it yet (see `backburn verdict`)", hash))
	}
	return unreachable(err)
}

func printReport(w io.Writer, r wildfire.Report) {
	rows := [][]string{
		{"malware", printable(or(r.File.Malware))},
		{"type", printable(or(r.File.Filetype))},
		{"size", humanSize(r.File.Size)},
		{"sha-256", printable(or(r.File.SHA256))},
		{"md5", printable(or(r.File.MD5))},
		{"sha-1", printable(or(r.File.SHA1))},
		{"signer", printable(or(r.File.Signer))},
	}
	printTable(w, rows)
	for _, e := range r.Environments {
		fmt.Fprintf(w, "\n%s: %s\n", printable(or(e.Software)), printable(or(e.Malware)))
		for _, f := range e.Summary {
			line := f.Text
			if f.Details != "" {
				line += ": " + f.Details
			}
			if f.Score != 0 {
				line += fmt.Sprintf(" (score %g)", f.Score)
			}
			fmt.Fprintf(w, "  finding  %s\n", printable(line))
		}
		for _, n := range e.Network {
			fmt.Fprintf(w, "  network  %s %s\n", printable(n.Kind), printable(attributes(n.Attributes)))
		}
		for _, p := range e.Processes {
			fmt.Fprintf(w, "  process  %s\n", printable(attributes(p)))
		}
		for _, u := range e.ExtractedURLs {
			fmt.Fprintf(w, "  link     %s\n", printable(u))
		}
		if len(e.Sections) > 0 {
			names := map[string]bool{}
			for _, s := range e.Sections {
				names[s.Name] = true
			}
			fmt.Fprintf(w, "  more     %s (--json shows them)\n", printable(strings.Join(slices.Sorted(maps.Keys(names)), ", ")))
		}
	}
}

func attributes(m map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, k+"="+m[k])
	}
	return strings.Join(parts, " ")
}
