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

// readForm reads a form and passes its file part to onFile as it arrives; onFile returns false if
// it has answered the call. Fields after the file part are read too. If the body is not a valid
// form for the operation, readForm answers the call and reports false.
func (x *exchange) readForm(onFile func(form url.Values, filename string, part io.Reader) bool) (url.Values, bool) {
	boundary, ok := boundaryOf(x.r.Header.Get("Content-Type"))
	switch {
	case ok:
		return x.readMultipart(boundary, onFile)
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

// boundaryOf returns the boundary of a multipart form. Unlike mime.ParseMediaType, the service
// accepts an unquoted boundary with characters that require quotes, such as "/" and "=" in base64
// (RFC 2045, section 5.1).
func boundaryOf(contentType string) (string, bool) {
	media, params, err := mime.ParseMediaType(contentType)
	if err == nil {
		boundary := params["boundary"]
		return boundary, media == "multipart/form-data" && boundary != ""
	}

	media, rest, _ := strings.Cut(contentType, ";")
	if !strings.EqualFold(strings.TrimSpace(media), "multipart/form-data") {
		return "", false
	}

	for param := range strings.SplitSeq(rest, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
		if strings.EqualFold(name, "boundary") && value != "" {
			return strings.Trim(value, `"`), true
		}
	}

	return "", false
}

func (x *exchange) readMultipart(boundary string, onFile func(url.Values, string, io.Reader) bool) (url.Values, bool) {
	form := x.r.URL.Query() // fields in the URL count too, whatever the body
	if x.r.ContentLength == 0 {
		return form, true
	}
	reader := multipart.NewReader(x.r.Body, boundary)
	for {
		part, err := reader.NextPart()
		if err == io.EOF {
			return form, true
		}

		if err != nil {
			x.refuseIncomplete(err)
			return nil, false
		}

		// The service accepts a list of hashes with or without a file name.
		if name := part.FormName(); name == "file" && onFile != nil {
			if !onFile(form, part.FileName(), part) {
				return nil, false
			}

			continue
		} else if err := readField(form, name, part); err != nil {
			x.refuseIncomplete(err)
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

// refuseIncomplete answers a request whose body could not be read completely. Usually the client is
// already gone.
func (x *exchange) refuseIncomplete(error) { x.refuse(http.StatusBadRequest, "") }

// admitForm reads a small form and checks its credential and the quota.
func (x *exchange) admitForm() (form url.Values, owner string, ok bool) {
	return x.admitList(nil)
}

// admitList does the same as admitForm, for a form with a text in its file part.
func (x *exchange) admitList(onText func(filename, text string)) (form url.Values, owner string, ok bool) {
	if bearer(x.r) != "" {
		if owner, ok = x.admit(""); !ok {
			return nil, "", false
		}
	}

	var onFile func(url.Values, string, io.Reader) bool
	if onText != nil {
		onFile = func(_ url.Values, filename string, part io.Reader) bool {
			text, err := io.ReadAll(io.LimitReader(part, maxList))
			if err != nil {
				x.refuseIncomplete(err)
				return false
			}

			onText(filename, string(text))

			return true
		}
	}

	if form, ok = x.readForm(onFile); !ok {
		return nil, "", false
	}

	if owner == "" {
		if owner, ok = x.admit(form.Get("apikey")); !ok {
			return nil, "", false
		}
	}

	return form, owner, true
}
