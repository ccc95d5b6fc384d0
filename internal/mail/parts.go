package mail

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"backburn/internal/judge"
)

// maxDepth is how many nested containers are opened. A deeper one is submitted whole.
const maxDepth = 12

// maxEntities is the maximum number of parts of any kind in a mail, including texts and containers.
// Each costs some work but may take only one line of the mail.
const maxEntities = 5000

// errTooManyParts means that a mail exceeds maxEntities or maxSpooled.
var errTooManyParts = errors.New("too many parts")

// attachment is a part of a mail that is to be submitted.
type attachment struct {
	name   string // file name
	number string // position in the mail, such as "2.1" for the first part of the second part
	body   io.Reader
}

// maxSpooled limits how much of a mail is stored for reading it several times, as a multiple of the
// limit for a mail.
const maxSpooled = 32

// walker visits the parts of a mail. If mail clients differ in how they read a part, it visits
// every reading.
type walker struct {
	limit    int64 // of the mail, in bytes
	visit    func(attachment) error
	entities int   // parts of any kind so far
	spooled  int64 // bytes that were stored so far
}

// walk calls visit for each attachment of a mail. body is still encoded. An error from visit ends
// the walk and is returned.
func walk(h *header, body io.Reader, limit int64, visit func(attachment) error) error {
	w := walker{limit: limit, visit: visit}

	return w.entity(h, body, "", 0)
}

// entity visits a mail or a part of one.
func (w *walker) entity(h *header, body io.Reader, number string, depth int) error {
	if w.entities++; w.entities > maxEntities {
		return errTooManyParts
	}
	if h.truncated {
		return w.unreliable(h, body, number)
	}
	encodings := encodingsOf(h)
	if boundaries := boundariesOf(h); len(boundaries) > 0 && depth < maxDepth {
		return w.container(h, boundaries, encodings, body, number, depth)
	}
	if len(encodings) == 1 && !isNamedMessage(h) {
		return w.single(h, decoded(encodings[0], body), number, depth)
	}

	contents, err := w.spool(body)
	if err != nil {
		return err
	}
	defer contents.Close()
	for _, encoding := range encodings {
		if err := w.single(h, decoded(encoding, contents.Reader()), number, depth); err != nil {
			return err
		}
		if !isNamedMessage(h) {
			continue
		}
		if err := w.leaf(h, decoded(encoding, contents.Reader()), number); err != nil {
			return err
		}
	}

	return nil
}

// unreliable visits a part whose header was truncated, so its type and encoding are not reliable.
// The part is an attachment as it is, and decoded.
func (w *walker) unreliable(h *header, body io.Reader, number string) error {
	contents, err := w.spool(body)
	if err != nil {
		return err
	}
	defer contents.Close()
	for _, encoding := range []string{notEncoded, base64Encoding} {
		if err := w.leaf(h, decoded(encoding, contents.Reader()), number); err != nil {
			return err
		}
	}

	return nil
}

// single visits a part that is not a container.
func (w *walker) single(h *header, decoded io.Reader, number string, depth int) error {
	content := bufio.NewReader(decoded)
	kinds := kindsOf(h)
	if slices.ContainsFunc(kinds, isMessage) && depth < maxDepth && beginsHeader(content) {
		inner, err := readHeader(content)
		if err != nil {
			return err
		}
		return w.entity(&inner, content, number, depth+1)
	}
	if isNamedMessage(h) || !isSavedAsFile(h) && !slices.ContainsFunc(kinds, func(k string) bool { return !isText(k) }) {
		_, err := io.Copy(io.Discard, content)
		return err
	}

	return w.leaf(h, content, number)
}

// spool stores the body of a part that is to be read several times. It bounds how much a mail may
// cost, because ambiguous containers may be nested.
func (w *walker) spool(body io.Reader) (*judge.Spool, error) {
	contents := judge.NewSpool(w.limit)
	if _, err := io.Copy(contents, body); err != nil {
		_ = contents.Close()
		return nil, err
	}
	if w.spooled += contents.Size(); w.spooled > maxSpooled*w.limit {
		_ = contents.Close()
		return nil, errTooManyParts
	}

	return contents, nil
}

func (w *walker) leaf(h *header, content io.Reader, number string) error {
	number = cmp.Or(number, "1")

	return w.visit(attachment{name: nameOf(h, number), number: number, body: content})
}

// container visits the parts of a container. If one of its boundaries is not found, container also
// looks for it in the decoded contents, because the container itself may be encoded, in violation
// of RFC 2045, 6.4. A container in which no boundary is found at all is an attachment.
func (w *walker) container(h *header, boundaries, encodings []string, body io.Reader, number string, depth int) error {
	contents, err := w.spool(body)
	if err != nil {
		return err
	}
	defer contents.Close()

	foundAny := false
	for _, boundary := range boundaries {
		found, err := w.parts(boundary, contents.Reader(), number, depth)
		for _, encoding := range encodings {
			if found || err != nil || encoding == notEncoded {
				continue
			}
			found, err = w.parts(boundary, decoded(encoding, contents.Reader()), number, depth)
		}
		if err != nil {
			return err
		}
		foundAny = foundAny || found
	}
	if foundAny || contents.Size() == 0 {
		return nil
	}

	return w.leaf(h, contents.Reader(), number)
}

// parts visits the parts of a container, and reports whether its boundary was found.
func (w *walker) parts(boundary string, body io.Reader, number string, depth int) (bool, error) {
	s := newSplitter(body, boundary)
	for n := 1; s.next(); n++ {
		part := bufio.NewReader(s)
		h, err := readHeader(part)
		if err != nil {
			return true, err
		}
		partNumber := strconv.Itoa(n)
		if number != "" {
			partNumber = number + "." + partNumber
		}
		if err := w.entity(&h, part, partNumber, depth+1); err != nil {
			return true, err
		}
	}

	return s.foundBoundary, ignoreEOF(s.err)
}

// boundariesOf returns the boundaries of a container. Mail clients differ in which one counts if
// there are several.
func boundariesOf(h *header) []string {
	var boundaries []string
	for _, value := range h.all("content-type") {
		kind, found := params(value)
		if !strings.HasPrefix(kind, "multipart/") {
			continue
		}
		for _, b := range found["boundary"] {
			if b != "" && !slices.Contains(boundaries, b) {
				boundaries = append(boundaries, b)
			}
		}
	}

	return boundaries
}

// kindsOf returns the types of a part. There may be several, because mail clients differ in which
// one counts.
func kindsOf(h *header) []string {
	var kinds []string
	for _, value := range h.all("content-type") {
		kind, _ := params(value)
		kinds = append(kinds, kind)
	}

	return kinds
}

// isNamedMessage reports whether a part has the type of a nested message, but a name with the
// extension of another kind of file. Some mail clients show the message, and some save the file.
func isNamedMessage(h *header) bool {
	if !slices.ContainsFunc(kindsOf(h), isMessage) {
		return false
	}
	name := fileName(h)
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || strings.EqualFold(name[dot:], ".eml") {
		return false
	}

	return extension.MatchString(name[dot:])
}

// extension matches the extension of a file, as opposed to the end of a message's subject.
var extension = regexp.MustCompile(`^\.[A-Za-z0-9]{1,5}$`)

// isMessage reports whether a type is a nested message.
func isMessage(kind string) bool {
	return kind == "message/rfc822" || kind == "message/global" || kind == "message/news"
}

// isText reports whether a type is a mail's text or a mail server's report.
func isText(kind string) bool {
	switch kind {
	case "", "text", "text/plain", "text/html", "text/rfc822-headers", "message/delivery-status", "message/disposition-notification":
		return true
	}

	return false
}

// beginsHeader reports whether contents begin like a message: with a header field or an envelope
// line.
func beginsHeader(r *bufio.Reader) bool {
	begin, _ := r.Peek(200) // fewer at the end of the input
	if bytes.HasPrefix(begin, []byte("From ")) {
		return true
	}
	name, _, ok := bytes.Cut(begin, []byte(":"))
	if !ok || len(bytes.TrimRight(name, " \t")) == 0 {
		return false
	}
	for _, c := range bytes.TrimRight(name, " \t") {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}

	return true
}

// splitter reads the parts of a container in order (RFC 2046, 5.1.1). If the closing boundary is
// missing, the last part ends with the contents. Parts after the closing boundary are read, too.
type splitter struct {
	in             *bufio.Reader
	boundary       []byte // including the leading hyphens
	outsideParts   bool   // before the first part or after the closing boundary
	atStart        bool   // at the beginning of a line
	foundBoundary  bool   // the boundary was found
	ended          bool   // the current part has ended
	pendingLineEnd string // line end that belongs to the boundary, if one follows
	lineEnd        string // line end to return before out
	out            []byte // unread part of the reader's buffer
	err            error
}

func newSplitter(body io.Reader, boundary string) *splitter {
	return &splitter{
		in:           bufio.NewReader(body),
		boundary:     []byte("--" + boundary),
		outsideParts: true,
		atStart:      true,
		ended:        true,
	}
}

// next advances to the next part. It reports whether there is one.
func (s *splitter) next() bool {
	for s.err == nil && (!s.ended || s.outsideParts) {
		s.advance()
	}
	if s.err != nil {
		return false
	}
	s.ended = false
	s.atStart = true

	return true
}

// Read reads from the current part.
func (s *splitter) Read(p []byte) (int, error) {
	for len(s.lineEnd)+len(s.out) == 0 {
		switch {
		case s.ended:
			return 0, io.EOF
		case s.err != nil:
			return 0, s.err
		}
		s.advance()
	}
	if n := copy(p, s.lineEnd); n > 0 {
		s.lineEnd = s.lineEnd[n:]
		return n, nil
	}
	n := copy(p, s.out)
	s.out = s.out[n:]

	return n, nil
}

// advance reads a line, or a piece of a line that is longer than the buffer.
func (s *splitter) advance() {
	line, err := s.in.ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		s.err = err
	}
	if s.atStart {
		if final, ok := s.isBoundary(line); ok {
			s.foundBoundary = true
			s.ended = true
			s.outsideParts = final
			s.pendingLineEnd = ""
			s.lineEnd = ""
			s.out = nil
			return
		}
	}

	text := bytes.TrimSuffix(line, []byte("\n"))
	s.atStart = len(text) < len(line)
	ending := ""
	if s.atStart {
		ending = "\n"
		if short := bytes.TrimSuffix(text, []byte("\r")); len(short) < len(text) {
			text = short
			ending = "\r\n"
		}
	}
	s.lineEnd = s.pendingLineEnd
	s.pendingLineEnd = ending
	s.out = text
}

// isBoundary reports whether a line is a boundary, and whether it is the closing one.
func (s *splitter) isBoundary(line []byte) (final, ok bool) {
	rest, ok := bytes.CutPrefix(line, s.boundary)
	if !ok {
		return false, false
	}
	rest, final = bytes.CutPrefix(rest, []byte("--"))

	return final, len(bytes.TrimRight(rest, " \t\r\n")) == 0
}
