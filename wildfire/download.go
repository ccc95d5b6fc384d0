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

// Download describes the bytes that were written to the caller's writer.
type Download struct {
	// Filename is the attachment's name after SafeFilename, or "" if the answer had none.
	Filename string

	// ContentType is the answer's media type, or "".
	ContentType string

	// Size is the number of bytes written.
	Size int64

	// SHA256 is the digest of the bytes written, in lower-case hexadecimal.
	SHA256 string
}

// Sample writes the contents of a sample to w and compares them with the given hash, an MD5 or a
// SHA-256. If they differ, the error matches ErrAnswer, but the bytes are already written. The
// service returns only samples of one's own organization, and not all of them (ErrSampleForbidden,
// ErrNotFound, ErrGone).
func (c *Client) Sample(ctx context.Context, hash string, w io.Writer) (Download, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return Download{}, invalidArgument(OpSample, err)
	}
	return c.download(ctx, downloadRequest{op: OpSample, hash: hash}, w, field{"hash", hash})
}

// PCAP writes the network capture of a sample's analysis to w: that of the platform with the given
// id (WildFire API Reference, "Get a Packet Capture"), or of any platform if platform is 0.
func (c *Client) PCAP(ctx context.Context, hash string, platform int, w io.Writer) (Download, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return Download{}, invalidArgument(OpPCAP, err)
	}
	if platform < 0 {
		return Download{}, invalidArgument(OpPCAP, errors.New("platform is negative"))
	}

	fields := []field{{"hash", hash}}
	if platform > 0 {
		fields = append(fields, field{"platform", strconv.Itoa(platform)})
	}

	return c.download(ctx, downloadRequest{op: OpPCAP}, w, fields...)
}

// Artifact is a kind of result from the analysis of a web page.
type Artifact string

// The artifacts.
const (
	Screenshot    Artifact = "screenshot"
	DownloadFiles Artifact = "download_files"
)

// WebArtifacts writes the artifacts of a web page's analysis to w, as a tar.gz that may be empty.
// Without kinds it requests all.
func (c *Client) WebArtifacts(ctx context.Context, url string, w io.Writer, kinds ...Artifact) (Download, error) {
	if err := checkLink(url); err != nil {
		return Download{}, invalidArgument(OpWebArtifacts, err)
	}

	fields := []field{{"url", url}}
	if len(kinds) > 0 {
		names := make([]string, len(kinds))
		for i, kind := range kinds {
			names[i] = string(kind)
		}
		fields = append(fields, field{"types", strings.Join(names, ",")})
	}

	return c.download(ctx, downloadRequest{op: OpWebArtifacts}, w, fields...)
}

// ReportPDF writes the report about a sample to w as PDF.
func (c *Client) ReportPDF(ctx context.Context, hash string, w io.Writer) (Download, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return Download{}, invalidArgument(OpReport, err)
	}
	return c.download(ctx, downloadRequest{op: OpReport}, w, field{"hash", hash}, field{"format", "pdf"})
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

// TestFile writes to w a harmless file that gets the verdict malware. Every call returns a
// different file. It needs no credential and costs no quota.
func (c *Client) TestFile(ctx context.Context, kind TestKind, w io.Writer) (Download, error) {
	switch kind {
	case TestPE, TestAPK, TestMacOS, TestELF:
	default:
		return Download{}, invalidArgument(OpTestFile, errors.New("unknown kind of test file"))
	}
	return c.download(ctx, downloadRequest{op: OpTestFile, path: "test/" + string(kind), public: true}, w)
}

// downloadRequest describes a download.
type downloadRequest struct {
	op     Op
	path   string // below the endpoint; "" for the operation's own
	hash   string // the hash that the contents must have; "" checks nothing
	public bool   // the call needs no credential
}

// download makes a call whose answer is a file, and writes the file to w.
func (c *Client) download(ctx context.Context, request downloadRequest, w io.Writer, fields ...field) (Download, error) {
	var got Download
	build := form(request.op, fields...)
	if request.public {
		build = func([]field) (payload, error) { return payload{}, nil }
	}

	err := c.do(ctx, apiCall{
		op:     request.op,
		path:   request.path,
		build:  build,
		stream: true,
		public: request.public,
		handle: func(response *http.Response, token string) error {
			if response.StatusCode != http.StatusOK {
				return c.unexpectedStatus(request.op, response, token) // 206 and similar answers are not the requested file
			}

			var err error
			got, err = c.receive(request, response, token, w)

			return err
		},
	})

	return got, err
}

// unexpectedStatus returns the error for a success status other than 200.
func (*Client) unexpectedStatus(op Op, response *http.Response, token string) error {
	failure := &APIError{Op: op, Status: response.StatusCode, kind: ErrUnexpectedStatus}
	if head, _ := bufio.NewReader(response.Body).Peek(maxHead); looksLikeText(head) && !isWildFireXML(head) {
		failure.Foreign = describeForeign(response, head, token)
	}

	return failure
}

// receive copies an answer to w, unless it is a document of the service or a proxy in place of the
// file.
func (c *Client) receive(request downloadRequest, response *http.Response, token string, w io.Writer) (Download, error) {
	reader := bufio.NewReader(response.Body)
	if isNotFile(request.op, response, reader) {
		body, err := readLimited(reader, maxAnswer)
		if err == nil {
			if _, err = wildfireRoot(body, maxTags); err == nil {
				err = errors.New("a document instead of a file")
			}
		}

		return Download{}, answerError(request.op, response, token, body, err)
	}

	head, _ := reader.Peek(maxHead)
	head = bytes.Clone(head)
	got := Download{ContentType: mediaType(response), Filename: attachment(response)}
	digests := getHashes()
	defer putHashes(digests)
	var err error
	got.Size, err = copyLimited(io.MultiWriter(&callerWriter{w}, digests), reader, c.cfg.MaxDownload)
	sha, md5 := digests.sum()
	got.SHA256 = sha
	failure := &APIError{Op: request.op, Status: response.StatusCode, Err: err}
	switch {
	case err == nil && request.hash != "" && request.hash != sha && request.hash != md5 && !sentAsFile(response):
		failure.kind, failure.Foreign = ErrForeignAnswer, describeForeign(response, head, token)
	case err == nil && request.hash != "" && request.hash != sha && request.hash != md5:
		failure.kind, failure.Err = ErrAnswer, errors.New("contents do not have the requested hash")
	case err == nil:
		return got, nil
	case errors.Is(err, errTooLong):
		failure.kind, failure.Err = ErrDownloadLimit, fmt.Errorf("over %d bytes", c.cfg.MaxDownload)
	case errors.Is(err, ErrSink):
		failure.kind = ErrSink
	default:
		return got, answerError(request.op, response, token, head, err)
	}

	return got, failure
}

// maxHead is how many bytes at the beginning of a download are used to recognize it.
const maxHead = 512

// isNotFile reports whether the beginning of an answer shows that it is not the requested file. A
// sample may itself be a text or an XML document. So an answer to a request for a sample is not the
// file only if it is an error document or an empty one of WildFire's, and was not sent as a file.
// The artifacts of a web page may be empty.
func isNotFile(op Op, response *http.Response, reader *bufio.Reader) bool {
	head, _ := reader.Peek(maxHead)
	switch {
	case op == OpWebArtifacts && len(head) == 0:
		return !sentAsFile(response)
	case op != OpSample:
		return looksLikeText(head)
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

// attachment returns the file name of the answer. The header has it with or without quotes.
func attachment(response *http.Response) string {
	_, params, err := mime.ParseMediaType(response.Header.Get("Content-Disposition"))
	if err != nil || params["filename"] == "" {
		return ""
	}
	return SafeFilename(params["filename"])
}

// copyLimited copies at most limit bytes, and fails if there are more; 0 is no limit.
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

// onlyReader hides bufio's WriteTo, which would copy in small pieces.
type onlyReader struct{ io.Reader }

// ErrSink matches a failure of the caller's writer during a download; the writer's error is
// wrapped.
var ErrSink = errors.New("writing download")

// callerWriter marks the errors of the caller's writer with ErrSink.
type callerWriter struct{ io.Writer }

func (w *callerWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrSink, err)
	}
	return n, err
}
