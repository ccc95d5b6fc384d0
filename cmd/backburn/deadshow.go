package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"backburn/internal/cli"
	"backburn/pipeline"
	"backburn/pipeline/queue"
)

func deadShow(tool *cli.App) *cobra.Command {
	var (
		asJSON bool
		output string
	)
	cmd := &cobra.Command{
		Use:   "show LETTER|[SOURCE/]JOB",
		Short: "Show one complete dead letter",
		Long: `Shows a dead letter: its reason, the message of WildFire or Backburn, the headers and the body.
The body of a raw job is the submitted file, which may be malware. Its beginning is shown as a
hexadecimal dump, and only -o writes it to a file (mode 0600).`,
		Example: `  backburn dead show 17
  backburn dead show 01JD4S9V5K6ZQ8T7R2M0C30000 --json
  backburn dead show 17 -o sample.bin`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "-" {
				return cli.Usagef("--output: expected the name of a new file, not standard output, because the body may be malware")
			}

			_, q, release, err := openQueue(cmd.Context(), tool, "dead")
			if err != nil {
				return err
			}
			defer release()
			seqs, err := findLetters(cmd.Context(), q, args)
			if err != nil {
				return err
			}

			l, err := q.Dead().Get(cmd.Context(), seqs[0])
			if err != nil {
				return err
			}

			if output != "" {
				if err := writeNew(output, l.Body); err != nil {
					return err
				}

				fmt.Fprintf(tool.Err, "%s written to %s\n", humanSize(int64(len(l.Body))), output)
			}

			if asJSON {
				return printJSON(tool.Out, letterJSON(l, output == ""))
			}

			printLetter(tool.Out, l)

			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "as one JSON object, with the body in base64 unless -o is given")
	cmd.Flags().StringVarP(&output, "output", "o", "", "write the body to a new `file`")

	return cmd
}

// writeNew creates a file that only its owner can read, and fails if the name exists.
func writeNew(name string, body []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%w; choose another name", err)
	}
	if err != nil {
		return err
	}

	_, err = f.Write(body)

	return errors.Join(err, f.Close())
}

// letterJSON is a letter with headers and, if wanted, its body.
func letterJSON(l queue.Letter, withBody bool) any {
	m := map[string]any{}
	if b, err := json.Marshal(l); err == nil {
		_ = json.Unmarshal(b, &m) // cannot fail: the value is a JSON object
	}
	m["headers"] = l.Header
	if withBody {
		m["body"] = base64.StdEncoding.EncodeToString(l.Body)
	}

	return m
}

// dumpBytes is how many bytes of a body a hexadecimal dump shows.
const dumpBytes = 512

func printLetter(w io.Writer, l queue.Letter) {
	rows := [][]string{
		{"letter", fmt.Sprint(l.Seq)},
		{"time", formatTime(l.Time)},
		{"job", cli.Printable(l.Job.ID)},
		{"source", cli.Printable(l.Job.Source)},
		{"reason", cli.Printable(string(l.Reason))},
		{"error", cli.Printable(l.Error)},
		{"attempts", fmt.Sprint(l.Attempts)},
		{"subject", cli.Printable(l.Subject)},
		{"name", cli.Printable(letterName(l))},
		{"size", letterSize(l)},
		{"sha-256", cli.Printable(orDash(l.Job.SHA256))},
		{"contents", contentsLocation(l)},
	}
	printPairs(w, rows)
	fmt.Fprintln(w)
	for _, k := range slices.Sorted(maps.Keys(l.Header)) {
		for _, v := range l.Header[k] {
			fmt.Fprintf(w, "%s: %s\n", cli.Printable(k), cli.Printable(v))
		}
	}

	fmt.Fprintln(w)
	if !l.Raw && utf8.Valid(l.Body) {
		var v any
		if json.Unmarshal(l.Body, &v) == nil {
			if b, err := json.MarshalIndent(v, "", "  "); err == nil {
				for line := range strings.SplitSeq(string(b), "\n") {
					fmt.Fprintln(w, cli.Printable(line))
				}

				return
			}
		}
	}

	fmt.Fprint(w, hex.Dump(l.Body[:min(len(l.Body), dumpBytes)]))
	if len(l.Body) > dumpBytes {
		fmt.Fprintf(w, "… %d more bytes; -o FILE writes the whole body\n", len(l.Body)-dumpBytes)
	}
}

// contentsLocation says where a letter's contents are.
func contentsLocation(l queue.Letter) string {
	switch c := l.Job.Content; {
	case l.Raw:
		return "in this letter"
	case l.Job.Kind == pipeline.KindURL:
		return "at the link"
	case c == nil:
		return "nowhere"
	case c.Object != "":
		return cli.Printable("object " + c.Object)
	default:
		return cli.Printable("file " + c.Path + " below the folder of the source")
	}
}
