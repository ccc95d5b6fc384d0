package wildfiretest

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
)

const (
	maxField = 64 << 10
	maxList  = 1 << 20
)

// readForm reads a form, handing its file part to onFile as it arrives; onFile returns false where it has
// answered the call. Fields that come behind the file part are read as well. It answers and reports false
// where the body is not a form that the operation takes.
func (x *exchange) readForm(onFile func(form url.Values, filename string, part io.Reader) bool) (url.Values, bool) {
	media, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	switch {
	case err == nil && media == "multipart/form-data" && params["boundary"] != "":
		return x.readMultipart(params["boundary"], onFile)
	case strings.HasPrefix(string(x.call.Op), "submit/"):
		x.refuse(http.StatusUnsupportedMediaType, "")
		return nil, false
	}
	x.r.Body = http.MaxBytesReader(x.w, x.r.Body, maxList)
	if err := x.r.ParseForm(); err != nil {
		x.refuse(http.StatusBadRequest, "")
		return nil, false
	}
	return x.r.Form, true
}

func (x *exchange) readMultipart(boundary string, onFile func(url.Values, string, io.Reader) bool) (url.Values, bool) {
	form := url.Values{}
	reader := multipart.NewReader(x.r.Body, boundary)
	for {
		part, err := reader.NextPart()
		if err == io.EOF {
			return form, true
		}
		if err != nil {
			x.broken(err)
			return nil, false
		}
		// The service takes a list of hashes with and without a file name.
		if name := part.FormName(); name == "file" && onFile != nil {
			if !onFile(form, part.FileName(), part) {
				return nil, false
			}
			continue
		} else if err := readField(form, name, part); err != nil {
			x.broken(err)
			return nil, false
		}
	}
}

func readField(form url.Values, name string, part io.Reader) error {
	value, err := io.ReadAll(io.LimitReader(part, maxField+1))
	if err != nil {
		return err
	}
	if len(value) > maxField {
		return errors.New("field too long")
	}
	form.Add(name, string(value))
	return nil
}

// broken answers a body that ended or broke before its time; usually nobody listens any more.
func (x *exchange) broken(error) { x.refuse(http.StatusBadRequest, "") }
