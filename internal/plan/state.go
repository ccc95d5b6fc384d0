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

// State is the state file of a plan: it records the results, so that a killed plan can continue.
// A truncated line is ignored, and its result determined again. It is safe for concurrent use.
type State struct {
	lock *flock.Flock

	mu        sync.Mutex
	file      *os.File
	out       *bufio.Writer
	unsaved   int
	files     map[string]File
	answers   map[string]Answer
	submitted map[string]time.Time // when contents were submitted
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

// ErrInUse says that another plan uses the same state file.
var ErrInUse = errors.New("another plan is using this state")

// OpenState opens a state file, and creates it if necessary. The caller closes it.
func OpenState(name string) (*State, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, err
	}
	s := &State{
		lock:      flock.New(name + ".lock"),
		files:     map[string]File{},
		answers:   map[string]Answer{},
		submitted: map[string]time.Time{},
	}
	switch locked, err := s.lock.TryLock(); {
	case err != nil:
		return nil, err
	case !locked:
		return nil, fmt.Errorf("%w: %s", ErrInUse, name)
	}

	err := s.open(name)
	if err != nil {
		_ = s.lock.Unlock()
		return nil, err
	}

	return s, nil
}

func (s *State) open(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}

	r := bufio.NewReaderSize(f, 1<<16)
	for {
		text, err := r.ReadBytes('\n')
		var l line
		if err == nil && json.Unmarshal(text, &l) == nil {
			s.apply(l)
		}
		if errors.Is(err, io.EOF) {
			s.file = f
			s.out = bufio.NewWriterSize(f, 1<<16)
			if len(text) > 0 {
				_, err = s.out.WriteString("\n") // ends a truncated line
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

// apply applies a line to the maps.
func (s *State) apply(l line) {
	switch {
	case l.Path != nil:
		s.files[string(l.Path)] = File{
			Path:    string(l.Path),
			Size:    l.Size,
			ModTime: time.Unix(0, l.Mod),
			SHA256:  l.SHA256,
			Types:   l.Types,
		}
	case l.Code != nil:
		s.answers[l.SHA256] = Answer{Verdict: *l.Code, At: l.At}
	default:
		s.submitted[l.SHA256] = l.At
	}
}

// record appends a line to the file, and applies it. The line is written at once if now is set, and
// buffered otherwise.
func (s *State) record(l line, now bool) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.apply(l)
	if _, err := s.out.Write(append(text, '\n')); err != nil {
		return err
	}
	if s.unsaved++; s.unsaved < saveEvery && !now {
		return nil
	}
	s.unsaved = 0

	return s.out.Flush()
}

// File returns the record of a file, unless the file has changed since.
func (s *State) File(path string, info os.FileInfo) (File, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	f, ok := s.files[path]

	return f, ok && f.Size == info.Size() && f.ModTime.Equal(info.ModTime())
}

// Hashed records a file.
func (s *State) Hashed(f File) error {
	return s.record(line{
		Path:   []byte(f.Path),
		Size:   f.Size,
		Mod:    f.ModTime.UnixNano(),
		Types:  f.Types,
		SHA256: f.SHA256,
	}, false)
}

// Answer returns WildFire's answer about contents.
func (s *State) Answer(sha256 string) (Answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.answers[sha256]

	return a, ok
}

// Answered records WildFire's answer.
func (s *State) Answered(sha256 string, a Answer) error {
	return s.record(line{SHA256: sha256, Code: &a.Verdict, At: a.At}, false)
}

// Submitted reports whether contents were submitted already.
func (s *State) Submitted(sha256 string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return !s.submitted[sha256].IsZero()
}

// SubmittedOn counts what was submitted on the UTC day of a time.
func (s *State) SubmittedOn(day time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	n := 0
	for _, at := range s.submitted {
		if at.UTC().Format(time.DateOnly) == day.UTC().Format(time.DateOnly) {
			n++
		}
	}

	return n
}

// MarkSubmitted records at once that contents were submitted.
func (s *State) MarkSubmitted(sha256 string, at time.Time) error {
	return s.record(line{SHA256: sha256, At: at.UTC()}, true)
}

// Close writes the buffered lines and closes the file.
func (s *State) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()

	return errors.Join(s.out.Flush(), s.file.Close(), s.lock.Unlock())
}
