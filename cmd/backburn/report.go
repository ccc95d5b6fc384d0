package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
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
		return cli.Exit(cli.Partial, fmt.Errorf("there is no report on %s: WildFire does not know it, or is not done with it yet (see `backburn verdict HASH`)", hash))
	}
	return unreachable(err)
}

func printReport(w io.Writer, r wildfire.Report) {
	printPairs(w, [][]string{
		{"malware", printable(or(r.Malware))},
		{"type", printable(or(r.Filetype))},
		{"size", humanSize(r.Size)},
		{"sha-256", printable(or(r.SHA256))},
		{"md5", printable(or(r.MD5))},
		{"sha-1", printable(or(r.SHA1))},
		{"signer", printable(or(r.Signer))},
	})
	var found [][2]string
	add := func(kind string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
		found = append(found, [2]string{kind, strings.Join(parts, "  ")})
	}
	for _, p := range r.Platforms {
		add("platform", p.Name, p.Malware)
	}
	for _, b := range r.Behaviors {
		text := b.Text
		if b.Score != 0 {
			text += fmt.Sprintf(" (score %g)", b.Score)
		}
		add("behavior", text, b.Details)
	}
	for _, c := range r.Connections {
		add("network", c.Protocol, net.JoinHostPort(c.IP, strconv.Itoa(c.Port)), c.Country)
	}
	for _, ip := range r.IPs {
		add("ip", ip)
	}
	for _, domain := range r.Domains {
		add("domain", domain)
	}
	for _, address := range r.URLs {
		add("url", address)
	}
	for _, agent := range r.UserAgents {
		add("user agent", agent)
	}
	for _, d := range r.Dropped {
		add("dropped", cmp.Or(d.SHA256, d.SHA1, d.MD5), d.Path)
	}
	for _, path := range r.FilesWritten {
		add("file", path)
	}
	for _, k := range r.RegistryKeys {
		add("registry", k.Key, k.Value, k.Data)
	}
	for _, p := range r.Processes {
		add("process", p.Name, p.Command)
	}
	for _, mutex := range r.Mutexes {
		add("mutex", mutex)
	}
	for _, l := range r.Links {
		add("link", l.URL, l.Verdict)
	}
	if len(found) > 0 {
		fmt.Fprintln(w)
	}
	for _, line := range found {
		fmt.Fprintf(w, "%-10s  %s\n", line[0], printable(line[1]))
	}
	if r.Truncated {
		fmt.Fprintln(w, "The report holds more than this: --format xml shows all of it.")
	}
}
