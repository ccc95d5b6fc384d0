package wildfire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// Download tells what was written to a caller's writer.
type Download struct {
	// Filename is the attachment's name as SafeFilename makes it, "" where the answer gave none.
	Filename string

	// ContentType is the answer's media type, "" where it gave none.
	ContentType string

	// Size is the number of bytes written.
	Size int64

	// SHA256 is the digest of the bytes written, in lower-case hexadecimal.
	SHA256 string
}

// Sample writes the contents of a sample to w and compares them with the hash that was asked for,
// an MD5 or a SHA-256; a difference matches ErrAnswer, and the bytes are then already written. The
// service hands out samples of one's own organization, and not all of those (ErrSampleForbidden,
// ErrNotFound, ErrGone).
func (c *Client) Sample(ctx context.Context, hash string, w io.Writer) (Download, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return Download{}, invalid(OpSample, err)
	}
	return c.download(ctx, fetch{op: OpSample, hash: hash}, w, field{"hash", hash})
}

// PCAP writes the network capture of a sample's analysis to w: that of the platform with the given
// id (WildFire API Reference, "Get a Packet Capture"), or of any where platform is 0.
func (c *Client) PCAP(ctx context.Context, hash string, platform int, w io.Writer) (Download, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return Download{}, invalid(OpPCAP, err)
	}
	if platform < 0 {
		return Download{}, invalid(OpPCAP, errors.New("platform is negative"))
	}
	fields := []field{{"hash", hash}}
	if platform > 0 {
		fields = append(fields, field{"platform", strconv.Itoa(platform)})
	}
	return c.download(ctx, fetch{op: OpPCAP}, w, fields...)
}

// Artifact is a kind of thing that the analysis of a web page leaves.
type Artifact string

// The artifacts.
const (
	Screenshot    Artifact = "screenshot"
	DownloadFiles Artifact = "download_files"
)

// WebArtifacts writes the artifacts of a web page's analysis to w, as a tar.gz that may be empty.
// Without kinds it asks for all.
func (c *Client) WebArtifacts(ctx context.Context, url string, w io.Writer, kinds ...Artifact) (Download, error) {
	if err := checkLink(url); err != nil {
		return Download{}, invalid(OpWebArtifacts, err)
	}
	fields := []field{{"url", url}}
	if len(kinds) > 0 {
		names := make([]string, len(kinds))
		for i, kind := range kinds {
			names[i] = string(kind)
		}
		fields = append(fields, field{"types", strings.Join(names, ",")})
	}
	return c.download(ctx, fetch{op: OpWebArtifacts}, w, fields...)
}

// ReportPDF writes the report about a sample to w as PDF.
func (c *Client) ReportPDF(ctx context.Context, hash string, w io.Writer) (Download, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return Download{}, invalid(OpReport, err)
	}
	return c.download(ctx, fetch{op: OpReport}, w, field{"hash", hash}, field{"format", "pdf"})
}

// TestKind is a type of test file.
type TestKind string

// The test files.
const (
	TestPE    TestKind = "pe"
	TestAPK   TestKind = "apk"
	TestMacOS TestKind = "macos"
	TestELF   TestKind = "elf"
)

// TestFile writes a harmless file to w that WildFire will judge malware. Every call gives another
// one. It needs no credential and costs no quota.
func (c *Client) TestFile(ctx context.Context, kind TestKind, w io.Writer) (Download, error) {
	switch kind {
	case TestPE, TestAPK, TestMacOS, TestELF:
	default:
		return Download{}, invalid(OpTestFile, errors.New("unknown kind of test file"))
	}
	return c.download(ctx, fetch{op: OpTestFile, path: "test/" + string(kind), public: true}, w)
}

// fetch says what a download is of.
type fetch struct {
	op     Op
	path   string // "" for the operation's own
	hash   string // what the contents must have; "" checks nothing
	public bool
}

func (c *Client) download(ctx context.Context, what fetch, w io.Writer, fields ...field) (Download, error) {
	var got Download
	build := form(what.op, fields...)
	if what.public {
		build = func([]field) (payload, error) { return payload{}, nil }
	}
	err := c.do(ctx, exchange{
		op:     what.op,
		path:   what.path,
		build:  build,
		stream: true,
		public: what.public,
		answer: func(response *http.Response, token string) error {
			if response.StatusCode != http.StatusOK {
				return c.unexpected(what.op, response, token) // 206 and its like are not what was asked for
			}
			var err error
			got, err = c.receive(what, response, token, w)
			return err
		},
	})
	return got, err
}

func (*Client) unexpected(op Op, response *http.Response, token string) error {
	failure := &APIError{Op: op, Status: response.StatusCode, kind: ErrUnexpectedStatus}
	if head, _ := bufio.NewReader(response.Body).Peek(maxHead); textual(head) && !ownXML(head) {
		failure.Foreign = describeForeign(response, head, token)
	}

	return failure
}

// receive copies an answer to w, unless it is a document of the service or of a proxy in place of a
// file.
func (c *Client) receive(what fetch, response *http.Response, token string, w io.Writer) (Download, error) {
	reader := bufio.NewReader(response.Body)
	if inPlaceOfFile(what.op, response, reader) {
		body, err := readLimited(reader, maxAnswer)
		if err == nil {
			if _, err = wildfireRoot(body, maxTags); err == nil {
				err = errors.New("a document instead of a file")
			}
		}
		return Download{}, answerError(what.op, response, token, body, err)
	}

	head, _ := reader.Peek(maxHead)
	head = bytes.Clone(head)
	got := Download{ContentType: mediaType(response), Filename: attachment(response)}
	sums := takeHashes()
	defer giveHashes(sums)
	var err error
	got.Size, err = copyLimited(io.MultiWriter(&sink{w}, sums), reader, c.cfg.MaxDownload)
	sha, md := sums.sum()
	got.SHA256 = sha
	failure := &APIError{Op: what.op, Status: response.StatusCode, Err: err}
	switch {
	case err == nil && what.hash != "" && what.hash != sha && what.hash != md && !sentAsFile(response):
		failure.kind, failure.Foreign = ErrForeignAnswer, describeForeign(response, head, token)
	case err == nil && what.hash != "" && what.hash != sha && what.hash != md:
		failure.kind, failure.Err = ErrAnswer, errors.New("contents do not have the hash that was asked for")
	case err == nil:
		return got, nil
	case errors.Is(err, errTooLong):
		failure.kind, failure.Err = ErrDownloadLimit, fmt.Errorf("over %d bytes", c.cfg.MaxDownload)
	case errors.Is(err, ErrSink):
		failure.kind = ErrSink
	default:
		return got, answerError(what.op, response, token, head, err)
	}
	return got, failure
}

// maxHead is how much of a download is looked at to recognize what it is, in bytes.
const maxHead = 512

// inPlaceOfFile recognizes an answer that is no file by its beginning. A sample may be a text or a
// document itself: there only one that says "error" or "nothing yet", and was not sent as a file,
// is taken for the service's. The artifacts of a web page may be empty.
func inPlaceOfFile(op Op, response *http.Response, reader *bufio.Reader) bool {
	head, _ := reader.Peek(maxHead)
	switch {
	case op == OpWebArtifacts && len(head) == 0:
		return !sentAsFile(response)
	case op != OpSample:
		return textual(head)
	case mediaType(response) == "application/octet-stream":
		return false
	}

	head = bytes.TrimLeft(bytes.TrimPrefix(head, []byte(byteOrderMark)), " \t\r\n")
	if bytes.HasPrefix(head, []byte("<?xml")) {
		_, head, _ = bytes.Cut(head, []byte("?>"))
		head = bytes.TrimLeft(head, " \t\r\n")
	}
	for _, root := range []string{"<error", "<response", "<submission"} {
		if bytes.HasPrefix(head, []byte(root)) {
			return true
		}
	}
	return false
}

// sentAsFile reports whether an answer announces itself as a file.
func sentAsFile(response *http.Response) bool {
	return mediaType(response) == "application/octet-stream" || attachment(response) != ""
}

// attachment is the file name of the answer; the header comes quoted and unquoted.
func attachment(response *http.Response) string {
	_, params, err := mime.ParseMediaType(response.Header.Get("Content-Disposition"))
	if err != nil || params["filename"] == "" {
		return ""
	}
	return SafeFilename(params["filename"])
}

// copyLimited copies at most limit bytes, and fails where there are more; limit 0 is none.
func copyLimited(w io.Writer, r io.Reader, limit int64) (int64, error) {
	buffer := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buffer)
	if limit <= 0 {
		return io.CopyBuffer(w, onlyReader{r}, *buffer)
	}
	n, err := io.CopyBuffer(w, io.LimitReader(r, limit), *buffer)
	if err != nil || n < limit {
		return n, err
	}
	switch _, err := io.ReadFull(r, make([]byte, 1)); err {
	case nil:
		return n, errTooLong
	case io.EOF:
		return n, nil
	default:
		return n, err
	}
}

var copyBuffers = sync.Pool{New: func() any { buffer := make([]byte, 32<<10); return &buffer }}

// onlyReader hides bufio's WriteTo, which would copy in pieces of its own small buffer.
type onlyReader struct{ io.Reader }

// ErrSink matches the failure of the writer that a download was written to; the writer's error is
// wrapped.
var ErrSink = errors.New("writing download")

type sink struct{ io.Writer }

func (s *sink) Write(p []byte) (int, error) {
	n, err := s.Writer.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrSink, err)
	}
	return n, err
}
