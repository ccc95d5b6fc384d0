//go:build unix

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"backburn/internal/cli"
	"backburn/internal/testkit"
)

// newConfigDir creates the files that the valid and the invalid configurations name.
func newConfigDir(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for _, dir := range []string{"q/inside", "kept", "roots", "other", "linked", "elsewhere", "here"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	authority := testkit.NewAuthority(t)
	cert, key := authority.Certificate()
	for name, text := range map[string]string{
		"secret":     "hush hush\n",
		"shown":      "a secret that everybody can read\n",
		"empty":      "",
		"api-token":  "a token of more than sixteen letters\n",
		"api-token2": "another token of more than sixteen letters\n",
		"hook-key":   "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
		"cert.pem":   contents(t, cert),
		"key.pem":    contents(t, key),
	} {
		write(t, filepath.Join(root, name), text)
	}

	if err := os.Chmod(filepath.Join(root, "shown"), 0o644); err != nil {
		t.Fatal(err)
	}

	for link, to := range map[string]string{"link": "q", "linked/.backburn": "elsewhere"} {
		if err := os.Symlink(filepath.Join(root, to), filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}

	return root
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}

// folderListing lists a folder's contents with names, modes, sizes and times.
func folderListing(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}

		info, err := d.Info()
		if err != nil {
			return err
		}

		fmt.Fprintln(&b, path, info.Mode(), info.Size(), info.ModTime())

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	return b.String()
}

// setEnv is the environment of these tests.
func setEnv(name string) (string, bool) { return "some value", name == "SET_BY_THE_TEST" }

// commandResult is the result of a command.
type commandResult struct {
	code   int
	works  bool // it became ready, and was stopped
	stderr string
}

// stopWhenReady is the standard error of a command, and stops the command when it logs that it is
// ready.
type stopWhenReady struct {
	stop context.CancelFunc

	mu    sync.Mutex // guards the fields below
	text  bytes.Buffer
	ready bool
}

func (w *stopWhenReady) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if bytes.Contains(b, []byte(`"message":"ready"`)) || bytes.Contains(b, []byte(" ready ")) {
		w.ready = true
		w.stop()
	}

	return w.text.Write(b)
}

// runUntilReady runs a command until it ends or is ready.
func runUntilReady(t *testing.T, words ...string) commandResult {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	w := stopWhenReady{stop: cancel}
	code := run(ctx, words, setEnv, strings.NewReader(""), io.Discard, &w)

	return commandResult{code, w.ready, w.text.String()}
}

// process has the arguments that start a process, and those with which config check makes the same
// checks.
type process struct{ start, check string }

var processes = []process{
	{"run", "--for run"},
	{"run --simulate", "--for run --simulate"},
	{"worker", "--for worker"},
	{"watcher", "--for watcher"},
}

// others start with the same checks as the processes above. Each is tried with a share of the
// configurations.
var others = []process{
	{"api", "--for api"},
	{"clamd", "--for clamd"},
	{"mail", "--for mail"},
	{"sink", "--for sink"},
}

// agreeEvery reduces the number of configurations. 1 tries all of them, which takes minutes.
var agreeEvery = flag.Int("agree-every", 20, "try one of this many generated values")

// TestCheckAgreesWithStart feeds config check and the processes the same configurations. Both
// refuse the same configurations, with the same message and exit code, and without side effects. A
// process starts with every configuration that config check accepts.
func TestCheckAgreesWithStart(t *testing.T) {
	root := newConfigDir(t)
	t.Chdir(filepath.Join(root, "here")) // not parallel, because some names are relative
	folder := t.TempDir()
	before := folderListing(t, root)
	all := variants(*agreeEvery)

	var mu sync.Mutex // guards the fields below
	refused := 0
	fine := map[string][]variant{}
	t.Run("refused", func(t *testing.T) {
		for part := range 4 {
			t.Run(strconv.Itoa(part), func(t *testing.T) {
				t.Parallel()
				for i := part; i < len(all); i += 4 {
					file := filepath.Join(folder, strconv.Itoa(i)+".toml")
					write(t, file, strings.ReplaceAll(all[i].text, "@", root))
					passed := compareCheckWithStart(t, all[i].name, file, append(slices.Clone(processes), others[i/4%len(others)]))

					mu.Lock()
					if len(passed) <= len(processes) {
						refused++
					}

					for _, p := range passed {
						fine[p] = append(fine[p], all[i])
					}

					mu.Unlock()
				}
			})
		}
	})
	if after := folderListing(t, root); after != before {
		t.Errorf("files before:\n%s\nafter:\n%s", before, after)
	}

	t.Logf("%d configurations, of which %d are refused", len(all), refused)
	if refused < 200 {
		t.Errorf("only %d of %d configurations are refused", refused, len(all))
	}

	t.Run("fine", func(t *testing.T) {
		for _, p := range append(slices.Clone(processes), others...) {
			for i := 0; i < len(fine[p.start]); i += 2 * *agreeEvery {
				requireStart(t, p.start, fine[p.start][i])
			}

			requireStart(t, p.start, variant{"right", render(base())})
		}
	})
}

// requireStart requires that a process starts with a configuration that config check accepts. If
// the configuration changes an address, the address may still be in use or belong to another
// machine.
func requireStart(t *testing.T, start string, v variant) {
	t.Helper()
	t.Run(start+" "+v.name, func(t *testing.T) {
		t.Parallel()
		root := strings.ReplaceAll(newConfigDir(t), "$", "$$") // the test's name is part of the path
		adapt := func(text string) string { return strings.ReplaceAll(text, "@", root) }
		if !strings.HasPrefix(start, "run") { // its server is another process
			url := testkit.StartNATS(t, &server.Options{}).ClientURL()
			adapt = strings.NewReplacer("@", root, "nats://127.0.0.1:0", url, "enabled = true", "enabled = false").Replace
			if end := startProcess(t, "worker", adapt(render(base()))); !end.works {
				t.Fatalf("the worker that makes the queue ends with %d:\n%s", end.code, end.stderr)
			}
		}

		end := startProcess(t, start, adapt(v.text))
		elsewhere := v.text != render(base()) && end.code == cli.Unreachable
		if !end.works && !elsewhere {
			t.Errorf("it ends with %d:\n%s", end.code, end.stderr)
		}
		if elsewhere {
			t.Logf("it ends with %d:\n%s", end.code, end.stderr)
		}
	})
}

// startProcess starts a process with a configuration. It overrides the log settings, so that the
// awaited line is logged.
func startProcess(t *testing.T, start, text string) commandResult {
	t.Helper()
	file := filepath.Join(t.TempDir(), "backburn.toml")
	write(t, file, text)

	return runUntilReady(t, append(strings.Fields(start), "--config", file, "--log-level", "info", "--log-format", "json")...)
}

// TestRefusalsOfTheProgram starts the real program with some invalid configurations, in a sandbox
// where it cannot listen: it refuses them with the same message, and does not try to listen.
func TestRefusalsOfTheProgram(t *testing.T) {
	t.Parallel()
	root := newConfigDir(t)
	before := folderListing(t, root)
	site := testkit.NewSite(t)
	file := filepath.Join(t.TempDir(), "backburn.toml")
	program := func(words string) commandResult {
		p := site.Start("backburn-nolisten", append(strings.Fields(words), "--config", file)...)
		code := p.Wait()

		return commandResult{code: code, stderr: p.Stderr()}
	}

	all := variants(50)
	for i := 0; i < len(all); i += 10 {
		write(t, file, strings.ReplaceAll(all[i].text, "@", root))
		for _, p := range processes {
			checked := program("config check " + p.check)
			if checked.code == cli.OK {
				continue
			}
			if started := program(p.start); started != checked {
				t.Errorf("%s: config check %s: %+v\n%s: %+v", all[i].name, p.check, checked, p.start, started)
			}
		}
	}

	if after := folderListing(t, root); after != before {
		t.Errorf("files before:\n%s\nafter:\n%s", before, after)
	}

	if runtime.GOOS == "linux" {
		write(t, file, strings.ReplaceAll(render(base()), "@", root))
		if end := program("run --simulate"); end.code == cli.Usage || !strings.Contains(end.stderr, "operation not permitted") {
			t.Errorf("the sandbox lets it listen: %+v", end)
		}
	}
}

// compareCheckWithStart compares, for each process, the result of config check with that of a
// start. It returns the processes for which config check accepts the file.
func compareCheckWithStart(t *testing.T, name, file string, processes []process) (fine []string) {
	t.Helper()
	for _, p := range processes {
		config := []string{"--config", file}
		checked := runUntilReady(t, append(append([]string{"config", "check"}, strings.Fields(p.check)...), config...)...)
		if checked.code == cli.OK {
			fine = append(fine, p.start)
			continue
		}
		if started := runUntilReady(t, append(strings.Fields(p.start), config...)...); started != checked {
			t.Errorf("%s: config check %s ends with %d:\n%s%s ends with %d, ready: %t:\n%s", name, p.check,
				checked.code, checked.stderr, p.start, started.code, started.works, started.stderr)
		}
	}

	return fine
}
