package guard

import (
	"errors"
	"io"
	"sync"
)

// Scan looks for secrets in the contents that are written to it. It is not safe for concurrent use.
type Scan struct {
	m    *matcher // nil if there are no secrets
	tail []byte   // the end of the data so far, because a secret may continue in the next write
	key  string   // of what was found
}

// Write scans the next part of the contents. It never fails.
func (s *Scan) Write(p []byte) (int, error) {
	if s.m == nil || s.key != "" {
		return len(p), nil
	}

	// A text that spans two writes begins in the tail and ends within the first bytes of p.
	overlap := s.m.longest - 1
	seam := append(s.tail, p[:min(len(p), overlap)]...)
	if s.key = s.m.find(seam); s.key == "" {
		s.key = s.m.find(p)
	}
	if len(p) >= overlap {
		seam = append(seam[:0], p[len(p)-overlap:]...)
	}

	s.tail = append(s.tail[:0], seam[max(0, len(seam)-overlap):]...)

	return len(p), nil
}

// Needed reports whether there are any secrets to look for.
func (s *Scan) Needed() bool { return s.m != nil }

// Err returns an error that matches ErrOwn if the contents so far contain a secret.
func (s *Scan) Err() error {
	if s.key == "" {
		return nil
	}

	return &Error{Key: s.key, Contents: true}
}

// chunk is the size of a reader's buffer, in bytes.
const chunk = 32 << 10

var buffers = sync.Pool{New: func() any { return new([chunk]byte) }}

// reader returns contents only after they were scanned, and never a byte of the compared part of a
// secret.
type reader struct {
	r       io.ReadCloser
	scan    *Scan
	buf     *[chunk]byte // nil once everything was returned
	from    int          // the first byte that was not returned yet
	cleared int          // no incomplete secret begins before this offset
	end     int          // of what was read
	err     error        // set at the end of the contents
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	for r.from == r.cleared && r.err == nil {
		r.fill()
	}

	if r.from == r.cleared {
		r.drop()
		return 0, r.err
	}

	n := copy(p, r.buf[r.from:r.cleared])
	r.from += n

	return n, nil
}

func (r *reader) fill() {
	r.end = copy(r.buf[:], r.buf[r.from:r.end])
	r.from = 0
	r.cleared = 0

	n, err := r.r.Read(r.buf[r.end:])
	_, _ = r.scan.Write(r.buf[r.end : r.end+n])
	r.end += n
	r.err = err
	if own := r.scan.Err(); own != nil {
		r.err = own
		return
	}

	r.cleared = max(0, r.end-r.scan.m.longest+1)
	if errors.Is(err, io.EOF) {
		r.cleared = r.end
	}
}

// drop releases the buffer. Close does not, because it may run during a read.
func (r *reader) drop() {
	if r.buf != nil {
		clear(r.buf[:r.end]) // these bytes may be the beginning of a secret
		buffers.Put(r.buf)
		r.buf = nil
	}
}

// Close closes the contents.
func (r *reader) Close() error { return r.r.Close() }
