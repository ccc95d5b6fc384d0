package wildfire

import (
	"bytes"
	"crypto/md5" // #nosec G501 -- the service also identifies samples by MD5; security does not rely on it
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"mime/multipart"
	"net"
	"strings"
	"sync"
	"sync/atomic"
)

// File is a file to submit.
type File struct {
	// Name is the file's name. It is sent as SafeFilename returns it. It should have the original
	// extension, because the service recognizes scripts only by that.
	Name string

	// Size is the exact number of bytes that Open's reader returns.
	Size int64

	// SHA256 is the expected hash of the contents, in hexadecimal; empty if unknown. Contents that
	// differ are not submitted: the call fails with ErrContentChanged.
	SHA256 string

	// Open returns the contents from their beginning. It is called for every attempt, and again if
	// net/http sends the request on another connection. The reader is closed before SubmitFile
	// returns. Close may be called during Read, as os.File allows, to unblock a reader that hangs.
	Open func() (io.ReadCloser, error)
}

// SubmitOption changes one submission.
type SubmitOption func(*upload)

// WithProgress calls f while a file is sent. The arguments are the number of bytes of the file that
// were sent so far, and the file's size. f is called from another goroutine, never concurrently
// with itself and never after SubmitFile has returned. It must return at once. A repeated attempt
// starts again from 0.
func WithProgress(f func(sent, total int64)) SubmitOption {
	return func(u *upload) { u.progress = f }
}

// upload is the upload of one file, with all its attempts.
type upload struct {
	file     File
	progress func(sent, total int64)      // the function of WithProgress; may be nil
	large    bool                         // at least Config.ExpectContinue bytes
	current  atomic.Pointer[uploadStream] // body of the current attempt
	watchdog atomic.Pointer[watchdog]     // of the current attempt

	reporting sync.Mutex // held while progress runs; guards ended
	ended     bool       // SubmitFile returns, so progress must not be called any more
}

// callProgress calls the function of WithProgress, unless the upload has ended. After an early
// answer the transport may still be sending.
func (u *upload) callProgress(sent int64) {
	if u.progress == nil {
		return
	}
	u.reporting.Lock()
	defer u.reporting.Unlock()
	if !u.ended {
		u.progress(sent, u.file.Size)
	}
}

// body returns a multipart form with the file, whose length is known in advance.
func (u *upload) body(fields []field) (payload, error) {
	var formBytes bytes.Buffer // the form without the contents
	form := multipart.NewWriter(&formBytes)
	for _, f := range fields {
		if err := form.WriteField(f.name, f.value); err != nil {
			return payload{}, err
		}
	}

	if _, err := form.CreateFormFile("file", SafeFilename(u.file.Name)); err != nil {
		return payload{}, err
	}

	head := formBytes.Len()
	if err := form.Close(); err != nil {
		return payload{}, err
	}

	prefix, suffix := formBytes.Bytes()[:head], formBytes.Bytes()[head:]

	return payload{
		contentType: form.FormDataContentType(),
		length:      int64(formBytes.Len()) + u.file.Size,
		expect:      u.large,
		open:        func() (io.ReadCloser, error) { return u.open(prefix, suffix) },
		mayRetry:    u.mayRetry,
		failed:      func() error { return u.current.Load().failure() },
		sent:        func() bool { return u.current.Load().finished() },
		watch:       func(dog *watchdog) { u.watchdog.Store(dog); dog.progress(&stateSending, 0) },
		abort:       u.abort,
	}, nil
}

// open starts the body of a new attempt.
func (u *upload) open(prefix, suffix []byte) (io.ReadCloser, error) {
	contents, err := u.file.Open()
	if err != nil {
		return nil, err
	}

	stream := &uploadStream{
		upload: u, watchdog: u.watchdog.Load(), contents: contents,
		prefix: prefix, suffix: suffix, left: u.file.Size, hashes: getHashes(),
	}
	_ = u.current.Swap(stream).Close()

	return stream, nil
}

// mayRetry allows a second attempt if the connection broke in the middle of a large body. The
// service may have refused the file and closed the connection before its status could be read. If
// the whole body was sent, the upload is not repeated, because it may have been counted.
func (u *upload) mayRetry(err error) bool {
	stream := u.current.Load()
	return u.large && stream.started() && !stream.finished() &&
		errors.Is(err, ErrTransport) && !errors.Is(err, ErrStalled) && !isTimeout(err)
}

// isTimeout reports whether an error of the transport is a time-out.
func isTimeout(err error) bool {
	netError, ok := errors.AsType[net.Error](err)
	return ok && netError.Timeout()
}

// close ends the calls of progress, and closes the contents unless the transport has closed them.
func (u *upload) close() {
	u.reporting.Lock()
	u.ended = true
	u.reporting.Unlock()
	u.abort()
}

// abort closes the contents of the current attempt.
func (u *upload) abort() { _ = u.current.Load().Close() }

// uploadStream is the body of one attempt: the form's beginning, the contents, and the form's end.
// The contents are hashed while they are read. The end is sent only if their size and hash are as
// expected.
//
// The transport's goroutines call Read and Close. The caller's goroutine calls Close, too, and the
// methods that return the result. It may call them before the first attempt, when the stream is
// still nil.
type uploadStream struct {
	upload   *upload
	watchdog *watchdog
	contents io.ReadCloser

	// These are read without mu, because Read may hang in the source.
	verified atomic.Pointer[digests] // of the contents, once they had the expected size and hash
	done     atomic.Bool             // the whole body was read
	closed   atomic.Bool

	mu             sync.Mutex // guards the fields below; Read holds it
	prefix, suffix []byte     // what is left of the form's beginning and end
	left           int64      // bytes of the contents that were not read yet
	hashes         *hashes    // returned to the pool by Close
	err            error      // what every later Read returns
}

// digests are a SHA-256 and an MD5 in hexadecimal.
type digests struct{ sha256, md5 string }

// Read reads the next piece directly into the transport's buffer.
func (s *uploadStream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.err != nil:
		return 0, s.err
	case len(p) == 0:
		return 0, nil
	case len(s.prefix) > 0:
		n := copy(p, s.prefix)
		s.prefix = s.prefix[n:]
		s.feedWatchdog()

		return n, nil
	case s.left > 0:
		return s.readContents(p)
	case s.verified.Load() == nil:
		if s.err = s.verifyContents(); s.err != nil {
			return 0, s.err
		}
	}

	n := copy(p, s.suffix)
	s.suffix = s.suffix[n:]
	if len(s.suffix) > 0 {
		s.feedWatchdog()
		return n, nil
	}

	if !s.done.Swap(true) {
		s.watchdog.awaitAnswer()
	}

	return n, io.EOF
}

// readContents reads the next piece of the contents.
func (s *uploadStream) readContents(p []byte) (int, error) {
	p = p[:min(int64(len(p)), s.left)]
	s.watchdog.state.Store(&stateSource)
	for range maxEmptyReads {
		n, err := s.contents.Read(p)
		if n > 0 {
			s.left -= int64(n)
			_, _ = s.hashes.Write(p[:n])
			s.feedWatchdog()
			s.upload.callProgress(s.upload.file.Size - s.left)

			return n, nil
		}

		if err == io.EOF {
			s.err = &ContentError{Detail: fmt.Sprintf("file ended after %d of %d bytes", s.upload.file.Size-s.left, s.upload.file.Size)}
			return 0, s.err
		}

		if err != nil {
			s.err = s.replaceIfClosed(err)
			return 0, s.err
		}
	}

	s.err = io.ErrNoProgress

	return 0, s.err
}

// replaceIfClosed returns errBodyClosed instead of a read error if the body was closed meanwhile.
// HTTP/2 closes a body during Read if the stream has ended.
func (s *uploadStream) replaceIfClosed(err error) error {
	if s.closed.Load() {
		return errBodyClosed
	}
	return err
}

// maxEmptyReads is how often in a row a reader may return neither bytes nor an error.
const maxEmptyReads = 100

// verifyContents verifies the size and the hash of the contents.
func (s *uploadStream) verifyContents() error {
	var extra [1]byte
	for i := 0; ; i++ {
		n, err := s.contents.Read(extra[:])
		if n > 0 {
			return &ContentError{Detail: fmt.Sprintf("file is longer than %d bytes", s.upload.file.Size)}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return s.replaceIfClosed(err)
		}
		if i == maxEmptyReads {
			return io.ErrNoProgress
		}
	}

	sum := s.hashes.sum()
	if want := s.upload.file.SHA256; want != "" && !strings.EqualFold(want, sum.sha256) {
		return &ContentError{Expected: strings.ToLower(want), Sent: sum.sha256, Detail: "file does not have the expected SHA-256"}
	}
	s.verified.Store(&sum)

	return nil
}

// feedWatchdog reports to the watchdog how many bytes of the contents were read.
func (s *uploadStream) feedWatchdog() {
	s.watchdog.progress(&stateSending, s.upload.file.Size-s.left)
}

// Close closes the contents. The transport may call it more than once, and while Read hangs.
func (s *uploadStream) Close() error {
	if s == nil || s.closed.Swap(true) {
		return nil
	}

	err := s.contents.Close()
	if s.mu.TryLock() { // while Read hangs, the hashes stay in use and do not return to the pool
		putHashes(s.hashes)
		s.hashes = nil
		if s.err == nil && !s.done.Load() {
			s.err = errBodyClosed
		}

		s.mu.Unlock()
	}

	return err
}

var errBodyClosed = errors.New("body closed")

// failure returns why the body could not be read, or nil.
func (s *uploadStream) failure() error {
	if s == nil || !s.mu.TryLock() {
		return nil // Read hangs in the source: the watchdog or the caller's context ended the attempt
	}
	defer s.mu.Unlock()
	if errors.Is(s.err, errBodyClosed) {
		return nil
	}

	return s.err
}

// finished reports whether the whole body was read.
func (s *uploadStream) finished() bool { return s != nil && s.done.Load() }

// started reports whether the form's beginning was read, so that the contents are next.
func (s *uploadStream) started() bool {
	if s == nil {
		return false
	}
	if !s.mu.TryLock() {
		return true // Read still runs, so it reads the contents
	}
	defer s.mu.Unlock()
	return len(s.prefix) == 0
}

// hashes computes a SHA-256 and an MD5 in one pass. There is a pool of them, so that an upload need
// not allocate any.
type hashes struct{ sha256, md5 hash.Hash }

var hashPool = sync.Pool{New: func() any { return &hashes{sha256: sha256.New(), md5: md5.New()} }} // #nosec G401

func getHashes() *hashes {
	h := hashPool.Get().(*hashes)
	h.sha256.Reset()
	h.md5.Reset()

	return h
}

func putHashes(h *hashes) {
	if h != nil {
		hashPool.Put(h)
	}
}

// Write never fails.
func (h *hashes) Write(p []byte) (int, error) {
	_, _ = h.sha256.Write(p)
	return h.md5.Write(p)
}

// sum returns both digests.
func (h *hashes) sum() digests {
	var sha [sha256.Size]byte
	var md [md5.Size]byte
	return digests{hex.EncodeToString(h.sha256.Sum(sha[:0])), hex.EncodeToString(h.md5.Sum(md[:0]))}
}
