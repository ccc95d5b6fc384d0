package mail

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// maxHeader is how much is kept of the fields of a mail or part that matter, in bytes.
const maxHeader = 256 << 10

// header is the fields that matter here, in the order in which they came.
type header struct {
	fields []field
	size   int  // of those, in bytes
	cut    bool // there was more of them than is kept
}

type field struct{ name, value string }

// add adds a field, unless it does not matter, or there are too many.
func (h *header) add(name, value string) {
	name = strings.ToLower(strings.TrimRight(name, " \t"))
	switch name {
	case "content-type", "content-disposition", "content-transfer-encoding", "message-id":
	default:
		return
	}

	h.size += len(name) + len(value)
	if h.size > maxHeader {
		h.cut = true
		return
	}
	h.fields = append(h.fields, field{name, unfold(value)})
}

// all returns the values of a field.
func (h *header) all(name string) []string {
	var values []string
	for _, f := range h.fields {
		if f.name == name {
			values = append(values, f.value)
		}
	}

	return values
}

// get returns the first value of a field, "" where there is none.
func (h *header) get(name string) string {
	if all := h.all(name); len(all) > 0 {
		return all[0]
	}

	return ""
}

// unfold makes one line of a value.
func unfold(s string) string {
	return strings.TrimSpace(strings.NewReplacer("\r", " ", "\n", " ", "\x00", " ").Replace(s))
}

// readHeader reads fields up to an empty line. A line that is no field is passed over, as mail
// clients do.
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
		whole := !errors.Is(err, bufio.ErrBufferFull)
		if err != nil && whole && !errors.Is(err, io.EOF) {
			return h, err
		}

		text := bytes.TrimRight(part, "\r\n")
		switch {
		case len(text) == 0 && (whole || len(part) > 0):
			flush()
			return h, nil
		case text[0] != ' ' && text[0] != '\t':
			flush()
		}
		if len(line)+len(text) <= maxHeader {
			line = append(line, text...)
		}
		for !whole { // the rest of a line that is longer than the buffer
			part, err = r.ReadSlice('\n')
			whole = !errors.Is(err, bufio.ErrBufferFull)
			if len(line)+len(part) <= maxHeader {
				line = append(line, bytes.TrimRight(part, "\r\n")...)
			}
		}
		if err != nil {
			flush()
			return h, ignoreEOF(err)
		}
	}
}

func ignoreEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}

	return err
}
