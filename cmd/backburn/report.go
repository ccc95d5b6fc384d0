package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/internal/stix"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/results"
	"backburn/wildfire"
)

// reportFormats are the formats that the command writes, besides text for people.
var reportFormats = []string{formatJSON, formatSTIX, pipeline.ReportXML, pipeline.ReportPDF, pipeline.ReportPCAP, formatMAEC}

const (
	formatJSON = "json" // the contents of the report
	formatSTIX = "stix" // the indicators, as a bundle of STIX 2.1
	formatMAEC = "maec" // WildFire's own JSON
)

// isBinary reports whether a format is unsuitable for a terminal.
func isBinary(format string) bool {
	return format == pipeline.ReportPDF || format == pipeline.ReportPCAP
}

func reportCommand(tool *cli.App) *cobra.Command {
	r := &reportRun{tool: tool}
	var (
		output string
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "report HASH",
		Short: "Show WildFire's report about a file",
		Long: `Prints the report about a file, by its SHA-256 or MD5. If the fleet keeps the report ([reports]), it
is read from there by the SHA-256, which costs no query. Otherwise it is fetched with the configured
credential, which costs one of the day's queries. --fresh always fetches it. A report is available
some time after the verdict.

Text is for people: URLs and hosts are defanged (hxxp, [.]). The formats of --format are not
defanged: json (the contents of the report), stix (a STIX 2.1 bundle of its indicators), and
WildFire's own documents xml, pdf, pcap (the network capture) and maec. PDF and capture are written
to a file or a pipe, never to a terminal.

With --simulate it reads only the reports that a simulation keeps. Exit code 3 means that there is no
report.`,
		Example: `  backburn report 44d88612fea8a8f36de82e1278abb02f
  backburn report 44d88612fea8a8f36de82e1278abb02f --format pdf -o report.pdf
  backburn report 44d88612fea8a8f36de82e1278abb02f --format stix -o indicators.json
  backburn report 44d88612fea8a8f36de82e1278abb02f --json | jq .domains`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.hash = strings.ToLower(args[0])
			switch {
			case !hashPattern.MatchString(r.hash):
				return cli.Usagef("expected a SHA-256 or an MD5, got %q", args[0])
			case r.format != "" && !slices.Contains(reportFormats, r.format):
				return cli.Usagef("--format: expected %s, got %q", strings.Join(reportFormats, ", "), r.format)
			case r.format != "" && asJSON:
				return cli.Usagef("either --format or --json")
			case tool.Simulated() && (r.fresh || r.format == formatMAEC):
				return cli.Usagef("neither --fresh nor --format maec with --simulate: there is no service to ask")
			case isBinary(r.format) && (output == "" || output == "-") && cli.IsTerminal(tool.Out):
				return cli.Usagef("--format %s cannot be written to a terminal: use -o FILE or a pipe", r.format)
			}

			if asJSON {
				r.format = formatJSON
			}

			return writeOutput(tool, output, func(w io.Writer) error { return r.run(cmd.Context(), w) })
		},
	}
	cmd.Flags().StringVar(&r.format, "format", "", "`format` of the output: "+strings.Join(reportFormats, ", "))
	cmd.Flags().BoolVar(&r.fresh, "fresh", false, "always ask WildFire")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to `file`; - is standard output")
	cmd.Flags().BoolVar(&asJSON, "json", false, "as --format json")
	simulationFlag(tool, cmd.Flags())

	return cmd
}

// writeOutput writes to standard output, or to a file that appears only when it is complete.
func writeOutput(tool *cli.App, name string, write func(io.Writer) error) error {
	if name == "" || name == "-" {
		return write(tool.Out)
	}

	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return cli.Usagef("--output: expected the name of a file; %s is a folder", name)
	}

	dir, _ := filepath.Split(name)
	f, err := os.CreateTemp(cmp.Or(dir, "."), ".backburn-*")
	if err != nil {
		return err
	}

	err = errors.Join(write(f), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}

	return err
}

// reportRun is one run of the command.
type reportRun struct {
	tool   *cli.App
	hash   string
	format string // "" for text
	fresh  bool
}

func (r *reportRun) run(ctx context.Context, w io.Writer) error {
	cfg, err := r.tool.Config()
	if err != nil {
		return err
	}
	if cfg.Simulated() {
		return r.runSimulated(ctx, cfg, w)
	}

	link := linkFleet(ctx, cfg, "report")
	if !r.fresh && link.queue != nil {
		if done, err := r.writeStored(ctx, link.queue, w); done || err != nil {
			link.close()
			return err
		}
	}

	s, err := newService(ctx, r.tool, cfg, link)
	if err != nil {
		return err
	}
	defer s.close()
	defer s.chargeQueries(ctx, 1)

	return r.fetch(ctx, s, w)
}

// runSimulated writes a report that a simulation keeps.
func (r *reportRun) runSimulated(ctx context.Context, cfg config.Config, w io.Writer) error {
	q, leave, err := attach(ctx, r.tool, cfg, "report")
	if err != nil {
		return err
	}
	defer leave()

	if r.format == "" {
		printNotice(w, true)
	}

	done, err := r.writeStored(ctx, q, w)
	if done || err != nil {
		return err
	}

	return cli.Exit(cli.Partial, fmt.Errorf("the simulation has no report on %s as %s: it keeps the reports that [reports] selects, by their SHA-256", r.hash, r.document()))
}

// document returns the document from which the format is made.
func (r *reportRun) document() string {
	if isBinary(r.format) {
		return r.format
	}

	return pipeline.ReportXML
}

// writeStored writes the report that the fleet keeps, or returns an error if WildFire is known to
// have none. It reports false if WildFire must be asked.
func (r *reportRun) writeStored(ctx context.Context, q *queue.Queue, w io.Writer) (done bool, err error) {
	if !sha256Pattern.MatchString(r.hash) || r.format == formatMAEC {
		return false, nil
	}

	reports, err := q.Streams().Reports(ctx)
	if errors.Is(err, queue.ErrNoReports) {
		return false, nil
	}
	if err != nil {
		return false, err
	}

	body, at, err := reports.Read(ctx, r.hash, r.document())
	if err == nil {
		return true, r.write(w, body, at, "kept since "+formatTime(at))
	}
	if !errors.Is(err, pipeline.ErrContentMissing) && !errors.Is(err, pipeline.ErrUnreadable) {
		return false, err
	}

	known, _, err := q.Ledger().Known(ctx, r.hash)
	if err != nil || known.Report == nil || known.Report.State != results.ReportMissing {
		return false, err
	}

	return true, cli.Exit(cli.Partial, fmt.Errorf("there is no report on %s: WildFire had none at %s; use --fresh to ask again", r.hash, formatTime(known.Report.At)))
}

// fetch asks WildFire and writes its answer.
func (r *reportRun) fetch(ctx context.Context, s *service, w io.Writer) error {
	var err error
	switch r.format {
	case pipeline.ReportPDF:
		_, err = s.ReportPDF(ctx, r.hash, w)
	case pipeline.ReportPCAP:
		_, err = s.PCAP(ctx, r.hash, 0, w)
	case formatMAEC:
		var doc json.RawMessage
		if doc, err = s.ReportMAEC(ctx, r.hash); err == nil {
			_, err = fmt.Fprintln(w, string(bytes.TrimSpace(doc)))
		}
	default:
		var doc []byte
		if doc, err = s.ReportXML(ctx, r.hash); err == nil {
			err = r.write(w, doc, time.Now(), "fetched now")
		}
	}

	if errors.Is(err, wildfire.ErrNotReady) || errors.Is(err, wildfire.ErrNotFound) {
		return cli.Exit(cli.Partial, fmt.Errorf("there is no report on %s: WildFire does not know it, or is still analyzing it (see `backburn verdict HASH`)", r.hash))
	}

	return withExitCode(err)
}

// write writes a document in the requested format; at is when it was fetched.
func (r *reportRun) write(w io.Writer, body []byte, at time.Time, origin string) error {
	switch r.format {
	case pipeline.ReportXML, pipeline.ReportPDF, pipeline.ReportPCAP:
		_, err := w.Write(body)
		return err
	}

	report, err := wildfire.ParseReport(bytes.NewReader(body))
	if err != nil {
		return err
	}

	switch r.format {
	case formatJSON:
		return printJSON(w, report)
	case formatSTIX:
		if report.Truncated {
			fmt.Fprintln(r.tool.Err, truncatedNotice)
		}

		bundle, err := stix.New(report, at)
		if err != nil {
			return err
		}

		return printJSON(w, bundle)
	}

	printReport(w, report, origin)

	return nil
}

// truncatedNotice is printed if a report contains more than is shown.
const truncatedNotice = "The report contains more than this: --format xml shows all of it."

// printReport prints a report for people. URLs and hosts are defanged.
func printReport(w io.Writer, r wildfire.Report, origin string) {
	defang := newDefanger(r)
	printPairs(w, [][]string{
		{"report", origin},
		{"malware", cli.Printable(orDash(r.Malware))},
		{"type", cli.Printable(orDash(r.Filetype))},
		{"size", humanSize(r.Size)},
		{"sha-256", cli.Printable(orDash(r.SHA256))},
		{"md5", cli.Printable(orDash(r.MD5))},
		{"sha-1", cli.Printable(orDash(r.SHA1))},
		{"signer", cli.Printable(orDash(r.Signer))},
	})
	separator := "\n"
	add := func(kind string, parts ...string) {
		parts = slices.DeleteFunc(parts, func(part string) bool { return part == "" })
		fmt.Fprintf(w, "%s%-10s  %s\n", separator, kind, cli.Printable(defang.text(strings.Join(parts, "  "))))
		separator = ""
	}
	addAll := func(kind string, values []string) {
		for _, value := range values {
			add(kind, value)
		}
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
		add("network", c.Protocol, defangHost(c.IP), "port "+strconv.Itoa(c.Port), c.Country)
	}

	for _, ip := range r.IPs {
		add("ip", defangHost(ip))
	}

	for _, domain := range r.Domains {
		add("domain", defangHost(domain))
	}

	addAll("url", r.URLs)
	addAll("user agent", r.UserAgents)
	for _, d := range r.Dropped {
		add("dropped", cmp.Or(d.SHA256, d.SHA1, d.MD5), d.Path)
	}

	addAll("file", r.FilesWritten)
	for _, k := range r.RegistryKeys {
		add("registry", k.Key, k.Value, k.Data)
	}

	for _, p := range r.Processes {
		add("process", p.Name, p.Command)
	}

	addAll("mutex", r.Mutexes)
	for _, l := range r.Links {
		add("link", l.URL, l.Verdict)
	}

	if r.Truncated {
		fmt.Fprintln(w, truncatedNotice)
	}
}
