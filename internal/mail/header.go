package mail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxHeader is the maximum size of the relevant fields of a mail or part, in bytes.
const maxHeader = 256 << 10

// header holds the relevant fields of a header, in their original order.
type header struct {
	fields    []field
	size      int  // total size in bytes
	truncated bool // fields were dropped because of the limit
}

type field struct{ name, value string }

// add adds a field if it is relevant and there is room.
func (h *header) add(name, value string) {
	name = strings.ToLower(strings.TrimRight(name, " \t"))
	switch name {
	case "content-type", "content-disposition", "content-transfer-encoding", "message-id":
	default:
		return
	}

	h.size += len(name) + len(value)
	if h.size > maxHeader {
		h.truncated = true
		return
	}
	h.fields = append(h.fields, field{name, unfold(value)})
}

// all returns all values of a field.
func (h *header) all(name string) []string {
	var values []string
	for _, f := range h.fields {
		if f.name == name {
			values = append(values, f.value)
		}
	}

	return values
}

// get returns the first value of a field, or "" if it has none.
func (h *header) get(name string) string {
	if all := h.all(name); len(all) > 0 {
		return all[0]
	}

	return ""
}

// unfold joins the lines of a folded value.
func unfold(s string) string {
	return strings.TrimSpace(strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(s))
}

// maxField is how much of a field is read. It is more than add accepts, so that the header of a
// longer relevant field counts as truncated.
const maxField = maxHeader + 2

// readHeader reads fields up to an empty line. Like mail clients, it ignores lines that are not
// fields.
func readHeader(r *bufio.Reader) (header, error) {
	var h header
	var line []byte
	flush := func() {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok {
			h.add(string(name), string(value))
		}
		line = line[:0]
	}
	for {
		part, err := r.ReadSlice('\n')
		complete := !errors.Is(err, bufio.ErrBufferFull)
		if err != nil && complete && !errors.Is(err, io.EOF) {
			return h, err
		}

		text := bytes.TrimRight(part, "\r\n")
		switch {
		case len(text) == 0 && (complete || len(part) > 0):
			flush()
			return h, nil
		case text[0] != ' ' && text[0] != '\t':
			flush()
		}
		line = appendUpTo(line, text, maxField)
		for !complete { // skip the rest of a line that is longer than the buffer
			part, err = r.ReadSlice('\n')
			complete = !errors.Is(err, bufio.ErrBufferFull)
			line = appendUpTo(line, bytes.TrimRight(part, "\r\n"), maxField)
		}
		if err != nil {
			flush()
			return h, ignoreEOF(err)
		}
	}
}

// appendUpTo appends text, cut so that the result has at most limit bytes.
func appendUpTo(line, text []byte, limit int) []byte {
	return append(line, text[:min(len(text), limit-len(line))]...)
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}

	return err
}
