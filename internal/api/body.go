package api

import (
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"time"

	"backburn/pipeline"
)

// steady reads a body for as long as bytes come: the deadline moves with them.
type steady struct {
	r io.Reader
	c *http.ResponseController
}

func (s *steady) Read(b []byte) (int, error) {
	_ = s.c.SetReadDeadline(time.Now().Add(stallTimeout)) // a test's recorder has none
	n, err := s.r.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		err = &readError{err}
	}
	return n, err
}

// readError is a body that could not be read to its end.
type readError struct{ err error }

func (e *readError) Error() string { return "read the body: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// filePart finds the first part of a multipart body that is a file; what comes after it is not
// looked at.
func filePart(body io.Reader, boundary string, j *pipeline.Job) (io.Reader, error) {
	if boundary == "" {
		return nil, bad("multipart/form-data without a boundary")
	}
	parts := multipart.NewReader(body, boundary)
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil, bad("there is no file in this multipart/form-data")
		}
		if err != nil {
			var read *readError
			if errors.As(err, &read) {
				return nil, err
			}
			return nil, bad("the multipart/form-data can't be read")
		}
		if p.FileName() == "" {
			continue
		}
		if j.Filename == "" {
			j.Filename, j.FilenameB64 = pipeline.Name(baseName(p.FileName()))
		}
		return &partReader{p}, nil
	}
}

// partReader tells a part that breaks off from one that ends.
type partReader struct{ p *multipart.Part }

func (r *partReader) Read(b []byte) (int, error) {
	n, err := r.p.Read(b)
	var read *readError
	if err != nil && !errors.Is(err, io.EOF) && !errors.As(err, &read) {
		err = &readError{err}
	}
	return n, err
}
