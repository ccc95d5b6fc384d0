package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/internal/config"
	"backburn/pipeline"
	"backburn/pipeline/queue"
	"backburn/pipeline/watch/spool"
)

func traceCommand(tool *cli.App) *cobra.Command {
	var (
		asJSON bool
		source string
		since  time.Duration
		limit  int
	)
	cmd := &cobra.Command{
		Use:   "trace [SOURCE/]JOB|SHA256|URL|PATH",
		Short: "Show where a file is and what it waits for",
		Long: `Finds a job by its ID, or all jobs with the same contents: by SHA-256, by a file (its contents are
hashed), by a link, or by the original path of a file in a watched folder on this machine (as long
as the file is in .backburn). It reads the streams LEDGER, JOBS, DEAD and RESULTS, and changes
nothing.

JOBS and RESULTS have no index, so the command reads at most --limit messages of each, and prints a
note if there are more. --source narrows both.

Exit code 3 means that nothing was found.`,
		Example: `  backburn trace 01JD4S9V5K6ZQ8T7R2M0C30000
  backburn trace mail/4711
  backburn trace 275a021bbfb6489e54d471899f7db9d1663fc695ec2fe2a2c4538aabf651fd0f
  backburn trace quarantine/invoice.exe
  backburn trace https://example.com/login --since 72h --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case limit < 1:
				return cli.Usagef("--limit: expected at least 1, got %d", limit)
			case source != "" && !pipeline.ValidSource(source):
				return cli.Usagef("--source: expected %s, got %q", pipeline.SourceRule, source)
			}

			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			query, err := traceQuery(args[0], cfg)
			if err != nil {
				return err
			}

			query.Limit = limit
			if source != "" {
				query.Source = source
			}
			if since > 0 {
				query.Since = time.Now().Add(-since)
			}

			q, release, err := attach(cmd.Context(), tool, cfg, "trace")
			if err != nil {
				return err
			}
			defer release()
			t, err := q.Trace(cmd.Context(), query)
			if errors.Is(err, queue.ErrAmbiguous) {
				return cli.Exit(cli.Usage, err)
			}
			if err != nil {
				return err
			}

			if asJSON {
				err = printJSON(tool.Out, t)
			} else {
				printTrace(stdoutWriter(tool), query, t)
			}

			if err == nil && t.State == queue.TraceUnknown && t.Sample == nil {
				return cli.Exit(cli.Partial, nil)
			}

			return err
		},
	}
	simulationFlag(tool, cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "as one JSON object")
	cmd.Flags().StringVar(&source, "source", "", "only jobs of this `source`")
	cmd.Flags().Var(durationFlag{&since}, "since", "read events since this time `ago` (default: since the sample was first recorded, or one day)")
	cmd.Flags().IntVar(&limit, "limit", 10_000, "read at most `n` messages of a stream")

	return cmd
}

var (
	sha256Pattern      = regexp.MustCompile(`^[0-9a-fA-F]{64}$`)
	partialHashPattern = regexp.MustCompile(`^[0-9a-fA-F]{6,63}$`)
)

// traceQuery interprets an argument as a hash, a link, an existing file, a claimed file, or
// otherwise as a job ID.
func traceQuery(arg string, cfg config.Config) (queue.TraceQuery, error) {
	switch {
	case arg == "": // such as an unset variable
		return queue.TraceQuery{}, cli.Usagef("expected a job, a hash, a link or a path, got %q", arg)
	case sha256Pattern.MatchString(arg):
		return queue.TraceQuery{SHA256: strings.ToLower(arg)}, nil
	case isURL(arg):
		return queue.TraceQuery{URL: arg}, nil
	}

	info, err := os.Stat(arg)
	switch {
	case err == nil && info.Mode().IsRegular():
		if source, id, ok := jobOfSpoolFile(arg, cfg); ok {
			return queue.TraceQuery{Job: id, Source: source}, nil
		}

		sum, err := hashFile(arg)
		if err != nil {
			return queue.TraceQuery{}, cli.Exit(cli.Usage, err)
		}

		return queue.TraceQuery{SHA256: sum}, nil
	case err == nil:
		return queue.TraceQuery{}, cli.Usagef("%s is not a regular file", arg)
	case !errors.Is(err, fs.ErrNotExist):
		return queue.TraceQuery{}, cli.Exit(cli.Usage, err)
	}

	if id, source, err := newestJobForPath(arg, cfg); err != nil || id != "" {
		return queue.TraceQuery{Job: id, Source: source}, err
	}
	if source, id, ok := sourceAndID(arg); ok {
		return queue.TraceQuery{Job: id, Source: source}, nil
	}
	if strings.ContainsRune(arg, filepath.Separator) {
		return queue.TraceQuery{}, cli.Usagef("there is no file %s, and none of that name in the %s of a folder that is watched on this machine; `backburn results --json` shows jobs and hashes", arg, pipeline.SpoolDir)
	}

	return queue.TraceQuery{Job: arg}, nil
}

// sourceAndID splits a job's full name, such as mail/4711. If there is a folder with the name of
// the source, the argument is a path, unless the ID has the form of a watcher's job ID.
func sourceAndID(arg string) (source, id string, ok bool) {
	source, id, ok = strings.Cut(arg, "/")
	if !ok || id == "" || strings.Contains(id, "/") || !pipeline.ValidSource(source) {
		return "", "", false
	}
	_, err := os.Stat(source)

	return source, id, errors.Is(err, fs.ErrNotExist) || spool.ValidID(id)
}

// isURL reports whether an argument is a link. The case of its scheme does not matter (RFC 3986,
// section 3.1).
func isURL(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")

	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}

// isValidURL reports whether an argument is a link that can be submitted.
func isValidURL(s string) bool { return isURL(s) && pipeline.ValidURL(s) }

func hashFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}

	return hex.EncodeToString(h.Sum(nil)), nil
}

func printTrace(w textWriter, query queue.TraceQuery, t queue.Trace) {
	printNotice(w, t.Simulated)
	fmt.Fprintf(w, "state      %s", w.styled(strong, t.State))
	if !t.Since.IsZero() {
		fmt.Fprintf(w, ", since %s (%s)", formatTime(t.Since), formatAge(t.Since))
	}

	fmt.Fprintln(w)
	if t.WaitsFor != "" {
		w.field("waits for", plain, cli.Printable(t.WaitsFor))
	}

	if s := t.Sample; s != nil {
		fmt.Fprintf(w, "contents   %s\n", s.Key)
		_, tone := styleVerdict(s.Verdict)
		if s.Refusal != nil {
			tone = notable
		}

		w.field("", tone, cli.Printable(sampleLine(*s)))
	}

	if len(t.Timeline) > 0 {
		printTimeline(w, t.Timeline)
	} else if t.Sample == nil {
		what := query.Job + query.SHA256 + query.URL
		if query.Source != "" {
			what += " of source " + query.Source
		}

		fmt.Fprintf(w, "\nNothing is known about %s.\n", cli.Printable(what))
		if partialHashPattern.MatchString(query.Job) {
			fmt.Fprintln(w, "If it is part of a SHA-256, use all of it, as shown by `backburn results --json`.")
		}
	}

	for _, n := range t.Notes {
		fmt.Fprintf(w, "\nnote: %s; see --limit, --source and --since\n", n)
	}
}

// printTimeline prints each entry and the time since the previous one. If all concern one job, the
// job is printed once.
func printTimeline(w textWriter, timeline []queue.TraceEntry) {
	isSingleJob := len(jobsOf(timeline)) == 1
	t := newTable("TIME", ">AFTER", "WHAT", "~JOB", "~SOURCE", "~NAME", "=DETAIL")
	if isSingleJob {
		printJobOf(w, timeline)
	} else {
		fmt.Fprintln(w)
	}

	var before time.Time
	for _, s := range timeline {
		after := ""
		if !before.IsZero() && !s.Time.IsZero() {
			after = "+" + formatDuration(s.Time.Sub(before))
		}
		if !s.Time.IsZero() {
			before = s.Time
		}

		tone := plain
		switch s.What {
		case "verdict", "changed":
			verdict, by, _ := strings.Cut(s.Detail, ",")
			verdict, tone = styleVerdict(verdict)
			s.Detail = verdict + "," + by
		case "failed", "dead":
			tone = notable
		}

		t.add(tone, formatTime(s.Time), after, s.What, cli.Printable(orDash(s.Job)), cli.Printable(orDash(s.Source)), cli.Printable(orDash(s.Name)), cli.Printable(s.Detail))
	}

	if isSingleJob {
		t.removeColumns("JOB", "SOURCE", "NAME")
	}

	t.print(w)
}

// jobsOf returns the jobs that the entries concern.
func jobsOf(timeline []queue.TraceEntry) map[pipeline.Ref]bool {
	jobs := map[pipeline.Ref]bool{}
	for _, s := range timeline {
		if s.Job != "" {
			jobs[pipeline.Ref{Source: s.Source, ID: s.Job}] = true
		}
	}

	return jobs
}

func printJobOf(w textWriter, timeline []queue.TraceEntry) {
	var ref pipeline.Ref
	name := ""
	for _, s := range timeline {
		name = cmp.Or(name, s.Name)
		if s.Job != "" {
			ref = pipeline.Ref{Source: s.Source, ID: s.Job}
		}
	}

	w.field("job", plain, cli.Printable(ref.String()))
	if name != "" {
		w.field("name", plain, cli.Printable(name))
	}

	fmt.Fprintln(w)
}

func sampleLine(s queue.SampleTrace) string {
	line := s.State
	switch {
	case s.Verdict != "":
		verdict, _ := styleVerdict(s.Verdict)
		line = "verdict " + verdict + ", given by WildFire " + formatTime(s.CheckedAt)
	case s.Refusal != nil:
		line = "refused: " + string(s.Refusal.Reason) + ": " + s.Refusal.Message
	case s.State == "pending":
		line = "pending at WildFire since " + formatTime(s.SubmittedAt)
	}

	if s.Rule != "" {
		line += ", uploaded by the policy: " + s.Rule
	}
	if !s.WithheldAt.IsZero() {
		line += ", withheld by the policy since " + formatTime(s.WithheldAt)
	}
	if s.Attempts > 0 {
		line += ", " + plural(s.Attempts, "failed attempt")
	}
	if r := s.Report; r != nil {
		line += ", report " + string(r.State) + " since " + formatTime(r.At)
	}

	return line
}
