package plan

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"

	"backburn/pipeline"
)

// ErrNotRegular says that a path is not a regular file.
var ErrNotRegular = errors.New("not a regular file")

// Hasher hashes files on all cores. It skips files that State has recorded and that have not
// changed.
type Hasher struct {
	State  *State
	Types  bool                          // also detect the types of contents
	Done   func(f File, remembered bool) // called for each file, by one goroutine at a time
	Failed func(path string, err error)  // likewise
}

// Run hashes the paths that walk visits until walk returns or ctx ends. Its errors are those of
// walk and of writes to the state file.
func (h *Hasher) Run(ctx context.Context, walk func(visit func(path string) error) error) error {
	paths := make(chan string, 4096)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var mu sync.Mutex // guards calls of Done and Failed
	var hashing sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		hashing.Go(func() {
			w := &hashWorker{Hasher: h, buffer: make([]byte, 256<<10)}
			for path := range paths {
				if ctx.Err() != nil {
					continue
				}
				f, remembered, err := w.file(ctx, path)
				if err == nil && !remembered {
					if werr := h.State.Hashed(f); werr != nil {
						cancel(werr)
					}
				}

				mu.Lock()
				switch {
				case err == nil:
					h.Done(f, remembered)
				case ctx.Err() == nil:
					h.Failed(path, err)
				}
				mu.Unlock()
			}
		})
	}

	err := walk(func(path string) error {
		select {
		case paths <- path:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	close(paths)
	hashing.Wait()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}

	return err
}

// hashWorker hashes one file at a time.
type hashWorker struct {
	*Hasher
	buffer []byte
}

func (w *hashWorker) file(ctx context.Context, path string) (f File, remembered bool, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return f, false, err
	case !info.Mode().IsRegular(): // opening a pipe would wait for its writer
		return f, false, ErrNotRegular
	}
	if known, ok := w.State.File(path, info); ok && (known.Types != nil || !w.Types) {
		return known, true, nil
	}

	in, err := os.Open(path)
	if err != nil {
		return f, false, err
	}
	defer in.Close()

	if info, err = in.Stat(); err != nil {
		return f, false, err
	}

	f = File{Path: path, Size: info.Size(), ModTime: info.ModTime()}
	sum := sha256.New()
	for first := true; ; first = false {
		n, err := io.ReadFull(in, w.buffer)
		sum.Write(w.buffer[:n])
		if first && w.Types {
			f.Types = pipeline.TypesOf(w.buffer[:min(n, pipeline.TypesBytes)])
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			f.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return f, false, nil
		case err != nil:
			return f, false, err
		case ctx.Err() != nil:
			return f, false, ctx.Err()
		}
	}
}
