// Command plan compares the hashing speed of the command "plan" with sha256sum on all cores, over
// the same files.
package main

import (
	"context"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"backburn/internal/plan"
)

func main() {
	files := flag.Int("files", 20_000, "how many files")
	size := flag.Int("size", 64<<10, "largest size of a file, in bytes")
	rounds := flag.Int("rounds", 3, "measurements of each; the fastest counts")
	flag.Parse()

	if err := run(*files, *size, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(files, size, rounds int) error {
	dir, err := os.MkdirTemp("", "plan-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	tree := filepath.Join(dir, "tree")
	total, err := write(tree, files, size)
	if err != nil {
		return err
	}

	var ours, theirs []time.Duration
	for i := range rounds {
		began := time.Now()
		if err := sha256sum(tree); err != nil {
			return err
		}

		theirs = append(theirs, time.Since(began))

		began = time.Now()
		if err := hash(tree, filepath.Join(dir, fmt.Sprint("state-", i))); err != nil {
			return err
		}

		ours = append(ours, time.Since(began))
	}

	began := time.Now()
	if err := hash(tree, filepath.Join(dir, "state-0")); err != nil {
		return err
	}

	again := time.Since(began)

	a, b := slices.Min(ours), slices.Min(theirs)
	fmt.Printf("%d files, %.1f MB, %d cores\n", files, float64(total)/1e6, runtime.NumCPU())
	fmt.Printf("sha256sum   %8s  %7.1f MB/s\n", b.Round(time.Millisecond), float64(total)/1e6/b.Seconds())
	fmt.Printf("plan        %8s  %7.1f MB/s  %.2f of sha256sum, kinds and state included\n", a.Round(time.Millisecond), float64(total)/1e6/a.Seconds(), b.Seconds()/a.Seconds())
	fmt.Printf("plan again  %8s  nothing changed\n", again.Round(time.Millisecond))

	return nil
}

// write creates files of random sizes, 1,000 per folder.
func write(tree string, files, size int) (total int64, err error) {
	r := rand.New(rand.NewPCG(1, 1))
	body := make([]byte, size)
	for i := range body {
		body[i] = byte(r.Uint32())
	}

	for i := range files {
		folder := filepath.Join(tree, fmt.Sprint(i/1000))
		if i%1000 == 0 {
			if err := os.MkdirAll(folder, 0o700); err != nil {
				return total, err
			}
		}

		n := 1 + r.IntN(size)
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(i)), body[size-n:], 0o600); err != nil {
			return total, err
		}

		total += int64(n)
	}

	return total, nil
}

func sha256sum(tree string) error {
	script := fmt.Sprintf("find %q -type f -print0 | xargs -0 -n 500 -P %d sha256sum > /dev/null", tree, runtime.NumCPU())

	return exec.Command("sh", "-c", script).Run()
}

func hash(tree, state string) error {
	m, err := plan.OpenState(state)
	if err != nil {
		return err
	}

	var failed error
	h := plan.Hasher{
		State:  m,
		Types:  true,
		Done:   func(plan.File, bool) {},
		Failed: func(_ string, err error) { failed = err },
	}
	err = h.Run(context.Background(), func(visit func(string) error) error {
		return filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}

			return visit(path)
		})
	})
	if err == nil {
		err = failed
	}
	if cerr := m.Close(); err == nil {
		err = cerr
	}

	return err
}
