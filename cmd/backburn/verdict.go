package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/wildfire"
)

func verdictCommand(tool *cli.App) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verdict HASH…|URL…",
		Short: "Ask WildFire for the verdicts of hashes or links",
		Long: `Asks WildFire directly about SHA-256 or MD5 hashes and links, with the configured credential. It
submits nothing. Every 500 hashes cost one of the day's queries; each link costs one. Several samples
may have one MD5; each of them is printed with its SHA-256.

Exit codes: 1 something is malicious, 3 some have no verdict (WildFire does not know the hash, or
is still analyzing it) or an unrecognised one, 4 WildFire cannot be reached.`,
		Example: `  backburn verdict 44d88612fea8a8f36de82e1278abb02f
  backburn verdict $(sha256sum *.exe | cut -d' ' -f1)
  backburn verdict https://example.com/login --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			hashes, links, err := splitHashesAndLinks(args)
			if err != nil {
				return err
			}

			cfg, err := tool.Config()
			if err != nil {
				return err
			}

			s, err := connectWildFire(cmd.Context(), tool, cfg, "verdict")
			if err != nil {
				return err
			}
			defer s.close()
			answers, err := s.ask(cmd.Context(), hashes, links)
			if perr := printAnswers(tool, answers, asJSON); err == nil {
				err = perr
			}
			if err != nil {
				return withExitCode(err)
			}

			return verdictExitError(answers)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object per line")

	return cmd
}

var hashPattern = regexp.MustCompile(`^([0-9a-fA-F]{32}|[0-9a-fA-F]{64})$`)

// splitHashesAndLinks separates hashes from links. A repeated hash counts once.
func splitHashesAndLinks(args []string) (hashes, links []string, err error) {
	for _, a := range args {
		switch hash := strings.ToLower(a); {
		case slices.Contains(hashes, hash):
		case hashPattern.MatchString(a):
			hashes = append(hashes, hash)
		case isValidURL(a):
			links = append(links, a)
		default:
			return nil, nil, cli.Usagef("expected a SHA-256, an MD5 or a link with http:// or https://, got %q", a)
		}
	}

	return hashes, links, nil
}

// verdictAnswer is WildFire's answer about one hash or link.
type verdictAnswer struct {
	SHA256       string    `json:"sha256,omitempty"`
	MD5          string    `json:"md5,omitempty"`
	URL          string    `json:"url,omitempty"`
	Verdict      string    `json:"verdict"`                // "none" if WildFire did not return it
	Code         *int      `json:"verdict_code,omitempty"` // WildFire's own code
	Malicious    bool      `json:"malicious"`
	Final        bool      `json:"final"`
	AnalysisTime time.Time `json:"analysis_time,omitzero"`

	byMD5 bool // the question was about the MD5, which several samples may have
}

func newVerdictAnswer(r wildfire.VerdictRecord) verdictAnswer {
	a := verdictAnswer{
		SHA256:       r.SHA256,
		MD5:          r.MD5,
		URL:          r.URL,
		Verdict:      "none",
		AnalysisTime: r.AnalysisTime,
	}
	if r.HasVerdict {
		code := int(r.Verdict)
		a.Verdict = r.Verdict.String()
		a.Code = &code
		a.Malicious = r.Verdict.Malicious()
		a.Final = r.Verdict.Final()
	}

	return a
}

// ask asks about all hashes and links. With an error, it also returns the answers so far.
func (s *service) ask(ctx context.Context, hashes, links []string) ([]verdictAnswer, error) {
	var answers []verdictAnswer
	if len(hashes) > 0 {
		records, err := s.Verdicts(ctx, hashes)
		s.chargeQueries(ctx, (len(hashes)+wildfire.MaxHashes-1)/wildfire.MaxHashes)
		answered := map[string]bool{}
		for _, r := range records {
			answered[r.SHA256], answered[r.MD5] = true, true
			a := newVerdictAnswer(r)
			a.byMD5 = !slices.Contains(hashes, r.SHA256)
			answers = append(answers, a)
		}

		if err != nil {
			return answers, err
		}

		for _, h := range hashes {
			if answered[h] {
				continue
			}

			answered[h] = true
			r := wildfire.VerdictRecord{SHA256: h}
			if len(h) == 32 {
				r = wildfire.VerdictRecord{MD5: h}
			}

			answers = append(answers, newVerdictAnswer(r))
		}
	}

	for _, link := range links {
		r, err := s.URLVerdict(ctx, link)
		s.chargeQueries(ctx, 1)
		if err != nil && !errors.Is(err, wildfire.ErrNoVerdict) && !errors.Is(err, wildfire.ErrNotFound) {
			return answers, err
		}
		if r.URL == "" {
			r.URL = link
		}

		answers = append(answers, newVerdictAnswer(r))
	}

	return answers, nil
}

func printAnswers(tool *cli.App, answers []verdictAnswer, asJSON bool) error {
	if asJSON {
		return printJSON(tool.Out, answers...)
	}

	if len(answers) == 0 {
		return nil
	}

	t := newTable("VERDICT", "~OF")
	for _, a := range answers {
		verdict, tone := styleVerdict(a.Verdict)
		of := cmp.Or(cli.Printable(a.URL), a.SHA256, a.MD5)
		if a.byMD5 {
			of = a.MD5 + "  " + a.SHA256
		}

		t.add(tone, verdict, of)
	}

	t.print(stdoutWriter(tool))

	return nil
}

// verdictExitError returns the error that sets the exit code for the answers.
func verdictExitError(answers []verdictAnswer) error {
	withoutVerdict, unrecognised := 0, 0
	for _, a := range answers {
		switch {
		case a.Malicious:
			return cli.Exit(cli.Malicious, nil)
		case !a.Final:
			withoutVerdict++
		case a.Verdict != benign:
			unrecognised++
		}
	}

	if unrecognised > 0 {
		return cli.Exit(cli.Partial, fmt.Errorf("%d of %d have an unrecognised verdict, %d have none", unrecognised, len(answers), withoutVerdict))
	}
	if withoutVerdict > 0 {
		return cli.Exit(cli.Partial, fmt.Errorf("WildFire has no verdict for %d of %d", withoutVerdict, len(answers)))
	}

	return nil
}
