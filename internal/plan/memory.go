package plan

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"backburn/wildfire"
)

// File is a file that was hashed.
type File struct {
	Path    string
	Size    int64 // in bytes
	ModTime time.Time
	SHA256  string   // 64 lower-case hexadecimal digits
	Types   []string // MIME types, the most specific first
}

// Answer is WildFire's answer about contents.
type Answer struct {
	Verdict wildfire.Verdict
	At      time.Time
}

// Memory is a file in which a plan records its results, so that it can continue after it was
// killed. The results of truncated lines are determined again. It is safe for concurrent use.
type Memory struct {
	lock *flock.Flock

	mu       sync.Mutex
	file     *os.File
	out      *bufio.Writer
	unsaved  int
	files    map[string]File
	answers  map[string]Answer
	handedIn map[string]time.Time
}

// line is one line of the file: a hashed file, an answer or a submission.
type line struct {
	Path   []byte            `json:"f,omitempty"` // any bytes
	Size   int64             `json:"s,omitempty"`
	Mod    int64             `json:"m,omitempty"` // ns since 1970
	Types  []string          `json:"t,omitempty"`
	SHA256 string            `json:"h"`
	Code   *wildfire.Verdict `json:"v,omitempty"`
	At     time.Time         `json:"at,omitzero"`
}

// saveEvery is how many lines are buffered before they are written.
const saveEvery = 64

// ErrInUse says that another plan uses the same memory.
var ErrInUse = errors.New("another plan is using this state")

// OpenMemory opens the memory in a file, and creates it if necessary. The caller closes it.
func OpenMemory(name string) (*Memory, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	m := &Memory{
		lock:     flock.New(name + ".lock"),
		files:    map[string]File{},
		answers:  map[string]Answer{},
		handedIn: map[string]time.Time{},
	}
	switch locked, err := m.lock.TryLock(); {
	case err != nil:
		return nil, err
	case !locked:
		return nil, fmt.Errorf("%w: %s", ErrInUse, name)
	}

	err := m.open(name)
	if err != nil {
		_ = m.lock.Unlock()
		return nil, err
	}

	return m, nil
}

func (m *Memory) open(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}

	r := bufio.NewReaderSize(f, 1<<16)
	for {
		text, err := r.ReadBytes('\n')
		var l line
		if err == nil && json.Unmarshal(text, &l) == nil {
			m.take(l)
		}
		if errors.Is(err, io.EOF) {
			m.file = f
			m.out = bufio.NewWriterSize(f, 1<<16)
			if len(text) > 0 {
				_, err = m.out.WriteString("\n") // ends a truncated line
				return err
			}
			return nil
		}
		if err != nil {
			f.Close()
			return err
		}
	}
}

// take adds the data of a line.
func (m *Memory) take(l line) {
	switch {
	case l.Path != nil:
		m.files[string(l.Path)] = File{
			Path:    string(l.Path),
			Size:    l.Size,
			ModTime: time.Unix(0, l.Mod),
			SHA256:  l.SHA256,
			Types:   l.Types,
		}
	case l.Code != nil:
		m.answers[l.SHA256] = Answer{Verdict: *l.Code, At: l.At}
	default:
		m.handedIn[l.SHA256] = l.At
	}
}

func (m *Memory) note(l line, now bool) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	m.take(l)
	if _, err := m.out.Write(append(text, '\n')); err != nil {
		return err
	}
	if m.unsaved++; m.unsaved < saveEvery && !now {
		return nil
	}
	m.unsaved = 0

	return m.out.Flush()
}

// File returns the record of a file, unless the file has changed since.
func (m *Memory) File(path string, info os.FileInfo) (File, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()

	f, ok := m.files[path]

	return f, ok && f.Size == info.Size() && f.ModTime.Equal(info.ModTime())
}

// Hashed records a file.
func (m *Memory) Hashed(f File) error {
	return m.note(line{
		Path:   []byte(f.Path),
		Size:   f.Size,
		Mod:    f.ModTime.UnixNano(),
		Types:  f.Types,
		SHA256: f.SHA256,
	}, false)
}

// Answer returns WildFire's answer about contents.
func (m *Memory) Answer(sha256 string) (Answer, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.answers[sha256]

	return a, ok
}

// Answered records WildFire's answer.
func (m *Memory) Answered(sha256 string, a Answer) error {
	return m.note(line{SHA256: sha256, Code: &a.Verdict, At: a.At}, false)
}

// Submitted reports whether contents were submitted already.
func (m *Memory) Submitted(sha256 string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()

	return !m.handedIn[sha256].IsZero()
}

// SubmittedOn counts what was submitted on the UTC day of a time.
func (m *Memory) SubmittedOn(day time.Time) int {
	m.mu.Lock()
	defer m.mu.Unlock()

	n := 0
	for _, at := range m.handedIn {
		if at.UTC().Format(time.DateOnly) == day.UTC().Format(time.DateOnly) {
			n++
		}
	}

	return n
}

// MarkSubmitted records at once that contents were submitted.
func (m *Memory) MarkSubmitted(sha256 string, at time.Time) error {
	return m.note(line{SHA256: sha256, At: at.UTC()}, true)
}

// Close writes the buffered lines and closes the file.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()

	return errors.Join(m.out.Flush(), m.file.Close(), m.lock.Unlock())
}
