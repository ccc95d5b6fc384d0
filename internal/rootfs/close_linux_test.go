package rootfs_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"backburn/internal/rootfs"
)

// A transport may close a body during a read. The descriptor must not be reused for another file
// meanwhile.
func TestCloseDuringRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()

	for range 100 {
		f, err := root.Open("a")
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			b := make([]byte, 4096)
			for {
				if _, err := f.Read(b); err != nil {
					if !errors.Is(err, fs.ErrClosed) && !errors.Is(err, io.EOF) {
						t.Error(err)
					}
					return
				}
			}
		})
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if _, err := f.Read(make([]byte, 1)); !errors.Is(err, fs.ErrClosed) {
			t.Errorf("read after close: %v", err)
		}
	}
}
