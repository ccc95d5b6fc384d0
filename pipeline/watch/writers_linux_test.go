package watch_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"backburn/pipeline"
	"backburn/pipeline/watch"
)

// The writers in these tests pause. The pauses are what is tested: a file must not be taken during
// them.
const (
	writerSettle = time.Second
	shortPause   = 300 * time.Millisecond // within the settle time
	longPause    = 1500 * time.Millisecond
)

// TestWriters runs every kind of writer whose files are known to have been taken too early by some
// rule. Each file must be taken once, completely, and only after its writer has finished.
func TestWriters(t *testing.T) {
	t.Parallel()
	for _, c := range writerCases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) {
				c.Settle, c.Scan = writerSettle, 200*time.Millisecond
			})
			var over atomic.Bool
			r.intake.setRefuse(func(job pipeline.Job) error {
				if !over.Load() {
					t.Errorf("taken before the writer was done: %+v", job)
				}
				return nil
			})
			r.start()
			c.write(t, r.dir, r.path("sample.bin"))
			over.Store(true)
			job := r.intake.wait(t, 1)[0]
			if job.SHA256 != sum(string(writerContents)) || job.Size != int64(len(writerContents)) || r.content(job) != string(writerContents) {
				t.Errorf("not taken whole: %d bytes", job.Size)
			}
			if job.Filename != "sample.bin" {
				t.Errorf("taken as %q", job.Filename)
			}
			r.stop()
			if n := len(r.intake.all()); n != 1 {
				t.Errorf("%d jobs", n)
			}
			if left := r.tree(""); len(left) != 0 {
				t.Errorf("left: %s", strings.Join(left, " "))
			}
		})
	}
}

// writerContents is what every writer writes: 1 MiB.
var writerContents = bytes.Repeat([]byte("0123456789abcdef"), 64<<10)

// writerPart returns one quarter of the contents; n is from 0 to 3.
func writerPart(n int) []byte {
	quarter := len(writerContents) / 4

	return writerContents[n*quarter : (n+1)*quarter]
}

// appendTo appends to a file, which it creates if necessary, and closes it.
func appendTo(t *testing.T, name string, b []byte) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	must(t, err)
	_, err = f.Write(b)
	must(t, err)
	must(t, f.Close())
}

// writerCase is a way to write a file.
type writerCase struct {
	name  string
	write func(t *testing.T, dir, name string)
}

func writerCases() []writerCase {
	return []writerCase{
		{"copy by copy_file_range", func(t *testing.T, dir, name string) {
			src := filepath.Join(t.TempDir(), "src")
			must(t, os.WriteFile(src, writerContents, 0o666))
			in, err := os.Open(src)
			must(t, err)
			defer in.Close()
			out, err := os.Create(name)
			must(t, err)
			for done := 0; done < len(writerContents); {
				n, err := unix.CopyFileRange(int(in.Fd()), nil, int(out.Fd()), nil, len(writerContents)/4, 0)
				must(t, err)
				done += n
				time.Sleep(shortPause)
			}
			must(t, out.Close())
		}},
		{"open with long pauses", func(t *testing.T, dir, name string) {
			f, err := os.Create(name)
			must(t, err)
			for i := range 4 {
				_, err := f.Write(writerPart(i))
				must(t, err)
				if i%2 == 0 {
					time.Sleep(longPause)
				}
			}
			must(t, f.Close())
		}},
		{"mapped", func(t *testing.T, dir, name string) {
			f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o666)
			must(t, err)
			must(t, f.Truncate(int64(len(writerContents))))
			m, err := unix.Mmap(int(f.Fd()), 0, len(writerContents), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			must(t, err)
			must(t, f.Close())
			copy(m, writerPart(0))
			time.Sleep(longPause)
			copy(m, writerContents)
			must(t, unix.Munmap(m))
		}},
		{"preallocated", func(t *testing.T, dir, name string) {
			f, err := os.Create(name)
			must(t, err)
			must(t, unix.Fallocate(int(f.Fd()), 0, 0, int64(len(writerContents))))
			for i := range 4 {
				_, err := f.WriteAt(writerPart(i), int64(i*len(writerContents)/4))
				must(t, err)
				time.Sleep(shortPause)
			}
			must(t, f.Close())
		}},
		{"several sessions", func(t *testing.T, dir, name string) {
			for i := range 4 {
				appendTo(t, name, writerPart(i))
				if i < 3 {
					time.Sleep(shortPause)
				}
			}
		}},
		{"keeps an old mtime", func(t *testing.T, dir, name string) {
			old := time.Now().Add(-24 * time.Hour)
			for i := range 4 {
				appendTo(t, name, writerPart(i))
				must(t, os.Chtimes(name, old, old))
				if i < 3 {
					time.Sleep(shortPause)
				}
			}
		}},
		{"renamed in", func(t *testing.T, dir, name string) {
			src := filepath.Join(t.TempDir(), "src")
			must(t, os.WriteFile(src, writerContents, 0o666))
			must(t, os.Rename(src, name))
		}},
		{"temporary name first", func(t *testing.T, dir, name string) {
			tmp := filepath.Join(dir, "."+filepath.Base(name)+".Xa81jZ")
			for i := range 4 {
				appendTo(t, tmp, writerPart(i))
			}
			time.Sleep(longPause) // longer than settle: only the name protects it
			must(t, os.Rename(tmp, name))
		}},
		{"in place over an older version", func(t *testing.T, dir, name string) {
			f, err := os.Create(name)
			must(t, err)
			_, err = f.Write(bytes.Repeat([]byte{'x'}, len(writerContents)))
			must(t, err)
			for i := range 4 {
				time.Sleep(shortPause)
				_, err := f.WriteAt(writerPart(i), int64(i*len(writerContents)/4))
				must(t, err)
			}
			must(t, f.Close())
		}},
		{"partial under the final name, then retried", func(t *testing.T, dir, name string) {
			appendTo(t, name, writerPart(0))
			time.Sleep(shortPause)
			tmp := filepath.Join(dir, "."+filepath.Base(name)+".retry1")
			appendTo(t, tmp, writerContents)
			must(t, os.Rename(tmp, name))
		}},
		{"killed upload, started over", func(t *testing.T, dir, name string) {
			kill := exec.Command("sh", "-c", `exec 3>"$1"; head -c 262144 /dev/zero >&3; kill -9 $$`, "sh", name)
			if err := kill.Run(); err == nil {
				t.Error("the writer was not killed")
			}
			time.Sleep(shortPause)
			must(t, os.Truncate(name, 0))
			appendTo(t, name, writerContents)
		}},
		{"empty first, written later", func(t *testing.T, dir, name string) {
			appendTo(t, name, nil)
			time.Sleep(shortPause)
			appendTo(t, name, writerContents)
		}},
		{"through another link", func(t *testing.T, dir, name string) {
			other := filepath.Join(dir, "..", filepath.Base(dir)+"-other")
			f, err := os.Create(other)
			must(t, err)
			must(t, os.Link(other, name))
			for i := range 4 {
				_, err := f.Write(writerPart(i))
				must(t, err)
				if i == 1 {
					time.Sleep(longPause)
				}
			}
			must(t, f.Close())
			must(t, os.Remove(other))
		}},
		{"descriptor inherited by a child", func(t *testing.T, dir, name string) {
			f, err := os.Create(name)
			must(t, err)
			child := exec.Command("sh", "-c", "sleep 1.5; cat")
			child.Stdin, child.Stdout = bytes.NewReader(writerContents), f
			must(t, child.Start())
			must(t, f.Close())
			must(t, child.Wait())
		}},
	}
}

// TestContentsChangeWhileTheyAreHashed changes a file between hashing its last byte and publishing
// it. The job must describe the contents at the time of publication.
func TestContentsChangeWhileTheyAreHashed(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func(f *os.File) error{
		"written": func(f *os.File) error {
			_, err := f.WriteAt([]byte("MODIFIED"), 0)
			return errors.Join(err, f.Close())
		},
		"written, with its time put back": func(f *os.File) error {
			st, err := f.Stat()
			must(t, err)
			_, err = f.WriteAt([]byte("MODIFIED"), 0)
			return errors.Join(err, f.Close(), os.Chtimes(f.Name(), time.Time{}, st.ModTime()))
		},
		"grown": func(f *os.File) error {
			_, err := f.WriteAt([]byte("MODIFIED"), 8)
			return errors.Join(err, f.Close())
		},
		"truncated": func(f *os.File) error { return errors.Join(f.Truncate(3), f.Close()) },
	} {
		for _, claim := range []string{watch.ClaimMove, watch.ClaimKeep} {
			t.Run(claim+"/"+name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(c *watch.Config) { c.Claim = claim })
				r.write("a", "original")
				hashed := 0
				r.start(func(w *watch.Watcher) {
					w.SetStep(func(step string) {
						if step != "hashed" {
							return
						}
						if hashed++; hashed > 1 {
							return
						}
						must(t, write(r.openTaken("a")))
					})
				})
				job := r.intake.wait(t, 1)[0]
				if got := r.content(job); got == "original" || sum(got) != job.SHA256 || int64(len(got)) != job.Size {
					t.Errorf("published with %d bytes and a hash that does not match the contents %q", job.Size, got)
				}
				if hashed < 2 {
					t.Error("it was not hashed again")
				}
			})
		}
	}
}

// openTaken opens the only file in the folder for writing, wherever it is now.
func (r *rig) openTaken(name string) *os.File {
	if claimed := r.tree(".backburn/claimed"); len(claimed) > 0 {
		name = ".backburn/claimed/" + claimed[0]
	}
	f, err := os.OpenFile(r.path(name), os.O_RDWR, 0)
	must(r.t, err)
	return f
}

// TestWriterOpensFileDuringHash opens a file for writing after its last byte was hashed, without
// writing yet. Only the open descriptor reveals the writer.
func TestWriterOpensFileDuringHash(t *testing.T) {
	t.Parallel()
	for _, claim := range []string{watch.ClaimMove, watch.ClaimKeep} {
		t.Run(claim, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, func(c *watch.Config) { c.Claim = claim })
			r.write("a", "original")
			writer := make(chan *os.File, 1)
			var once sync.Once
			r.start(func(w *watch.Watcher) {
				w.SetStep(func(step string) {
					if step == "hashed" {
						once.Do(func() { writer <- r.openTaken("a") })
					}
				})
			})
			f := <-writer
			waitFor(t, "the writer to be detected", func() bool { return r.metric("deferred_total", "writer") > 0 })
			_, err := f.WriteString("MODIFIED")
			must(t, errors.Join(err, f.Close()))
			if j := r.intake.wait(t, 1)[0]; j.SHA256 != sum("MODIFIED") {
				t.Errorf("published as %q", r.content(j))
			}
		})
	}
}

// TestFileIsWrittenToWhileItIsClaimed writes to a file at the moment of its claim. The file must
// stay unchanged for as long as any other file before it is taken.
func TestFileIsWrittenToWhileItIsClaimed(t *testing.T) {
	t.Parallel()
	const settle = 300 * time.Millisecond
	r := newRig(t, func(c *watch.Config) { c.Settle = settle })
	r.write("a", "original")
	var written, hashed time.Time
	r.start(func(w *watch.Watcher) {
		w.SetStep(func(step string) {
			switch step {
			case "claimed":
				f := r.openTaken("a")
				_, err := f.WriteString("original and more")
				must(t, errors.Join(err, f.Close()))
				written = time.Now()
			case "hashed":
				hashed = time.Now()
			}
		})
	})
	if j := r.intake.wait(t, 1)[0]; j.SHA256 != sum("original and more") {
		t.Errorf("job is %+v", j)
	}
	if waited := hashed.Sub(written); waited < settle-20*time.Millisecond { // allow for the tick of the kernel's clock
		t.Errorf("taken %v after it was written to", waited)
	}
}
