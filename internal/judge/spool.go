package judge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"runtime"
)

// MaxInMemory is how much a Spool holds in memory, in bytes. Larger contents go to a temporary
// file.
const MaxInMemory = 64 << 10

// ErrTooLong is matched by the error of Write if the contents exceed the limit of their Spool.
var ErrTooLong = errors.New("longer than allowed")

// Spool holds contents that are written once, and then read as often as needed. If the system
// allows it, the temporary file has no name, so a crash leaves nothing behind. A Spool is safe for
// concurrent use only after Contents was called. The caller closes it.
type Spool struct {
	limit  int64
	size   int64
	sum    hash.Hash
	buffer []byte
	file   *os.File
}

// NewSpool makes a spool for at most limit bytes.
func NewSpool(limit int64) *Spool { return &Spool{limit: limit, sum: sha256.New()} }

// Write appends to the contents. Its error matches ErrTooLong, or is that of the temporary file.
// After an error the contents are incomplete.
func (s *Spool) Write(p []byte) (int, error) {
	if s.size+int64(len(p)) > s.limit {
		return 0, fmt.Errorf("%w: at most %d bytes", ErrTooLong, s.limit)
	}
	if s.file == nil && len(s.buffer)+len(p) > MaxInMemory {
		if err := s.spillToFile(); err != nil {
			return 0, err
		}
	}

	n := len(p)
	if s.file == nil {
		s.buffer = append(s.buffer, p...)
	} else {
		var err error
		if n, err = s.file.Write(p); err != nil {
			return n, fmt.Errorf("spool: %w", err)
		}
	}
	s.sum.Write(p)
	s.size += int64(n)

	return n, nil
}

func (s *Spool) spillToFile() error {
	f, err := os.CreateTemp("", "backburn-*")
	if err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.file = f
	if runtime.GOOS != "windows" { // Windows cannot remove an open file
		if err := os.Remove(f.Name()); err != nil {
			return fmt.Errorf("spool: %w", err)
		}
	}
	if _, err := f.Write(s.buffer); err != nil {
		return fmt.Errorf("spool: %w", err)
	}
	s.buffer = nil

	return nil
}

// Size returns how much was written, in bytes.
func (s *Spool) Size() int64 { return s.size }

// Reader returns a reader of the contents from their beginning.
func (s *Spool) Reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.buffer)
	}

	return io.NewSectionReader(s.file, 0, s.size)
}

// Contents returns what was written. It is valid while the spool is open.
func (s *Spool) Contents() Contents {
	return Contents{
		SHA256: hex.EncodeToString(s.sum.Sum(nil)),
		Size:   s.size,
		Open:   func() (io.ReadCloser, error) { return io.NopCloser(s.Reader()), nil },
	}
}

// Close discards the contents. It may be called more than once.
func (s *Spool) Close() error {
	s.buffer = nil
	if s.file == nil {
		return nil
	}
	f := s.file
	s.file = nil
	err := f.Close()
	if runtime.GOOS == "windows" {
		err = errors.Join(err, os.Remove(f.Name()))
	}

	return err
}
