package sink

import (
	"context"
	"fmt"

	"github.com/DeRuina/timberjack"

	"backburn/results"
)

// FileConfig says where events are written.
type FileConfig struct {
	Path       string
	MaxSize    int64 // in bytes, counted in whole MiB; then the file is put aside under its time
	MaxBackups int   // files kept beside the current one; 0: all
}

// File appends each event as a line of JSON (mode 0600), and rotates by size. A line is with the
// operating system when the event is acknowledged; it is not waited for the disk.
type File struct{ l *timberjack.Logger }

// NewFile opens the file with the first event.
func NewFile(cfg FileConfig) *File {
	return &File{&timberjack.Logger{Filename: cfg.Path, FileMode: 0o600, MaxSize: max(1, int(cfg.MaxSize>>20)), MaxBackups: cfg.MaxBackups}}
}

// Send writes a line.
func (f *File) Send(_ context.Context, _ results.Event, body []byte) error {
	if _, err := f.l.Write(append(body, '\n')); err != nil {
		return fmt.Errorf("write event: %w", err)
	}
	return nil
}

// Close closes the file.
func (f *File) Close() error { return f.l.Close() }
