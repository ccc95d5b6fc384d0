package worker

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"backburn/internal/rootfs"
	"backburn/internal/testkit/needs"
	"backburn/pipeline"
)

// A file that this process may not read does not fail the job, because another worker may read it.
// A missing file, or a link out of the folder, does.
func TestErrorsOfOpeningFiles(t *testing.T) {
	t.Parallel()
	needs.Root(t, "reading as another user")
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(filepath.Join(dir, "locked"), []byte("MZ"), 0o600))
	must(os.Mkdir(filepath.Join(dir, "closed"), 0o700))
	must(os.WriteFile(filepath.Join(dir, "closed", "a"), []byte("MZ"), 0o644))
	must(os.Mkdir(filepath.Join(dir, "folder"), 0o755))
	must(os.Symlink("/etc/passwd", filepath.Join(dir, "link")))
	must(unix.Mkfifo(filepath.Join(dir, "pipe"), 0o644))
	root, err := rootfs.Open(dir)
	must(err)
	defer root.Close()

	looked := make(chan struct{})
	go func() { // on its own thread, which ends with the goroutine
		defer close(looked)
		runtime.LockOSThread()
		if err := unix.Setfsuid(65534); err != nil {
			t.Error(err)
			return
		}
		checkOpenErrors(t, root)
	}()
	<-looked
}

func checkOpenErrors(t *testing.T, root *rootfs.Root) {
	t.Helper()
	for name, want := range map[string]error{
		"locked":   pipeline.ErrUnreachable,
		"closed/a": pipeline.ErrUnreachable,
		"link":     pipeline.ErrOutside,
		"folder":   pipeline.ErrOutside,
		"pipe":     pipeline.ErrOutside,
		"none":     pipeline.ErrContentMissing,
	} {
		f, err := openBeneath(root, name)
		if err == nil {
			f.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
		handed := pipeline.Classify(pipeline.OpUpload, err).Action == pipeline.ReleaseJob
		if handed != errors.Is(want, pipeline.ErrUnreachable) {
			t.Errorf("%s: left to other workers: %v", name, handed)
		}
	}
}
