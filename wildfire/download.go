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

// Download describes a file that was written to the caller's writer.
type Download struct {
	// Filename is the name in the answer, as SafeFilename returns it, or "" if there was none.
	Filename string

	// ContentType is the answer's media type, or "".
	ContentType string

	// Size is the number of bytes written.
	Size int64

	// SHA256 is the digest of the bytes written, in lower-case hexadecimal.
	SHA256 string
}

// Sample writes the contents of a sample to w. hash is its MD5 or SHA-256. If the contents have
// another hash, the error matches ErrAnswer, but the bytes are already written. The service returns
// only samples of the caller's organization, and not all of these: see ErrSampleForbidden,
// ErrNotFound and ErrGone.
func (c *Client) Sample(ctx context.Context, hash string, w io.Writer) (Download, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return Download{}, invalidArgument(OpSample, err)
	}
	return c.download(ctx, apiCall{op: OpSample}, hash, w, field{"hash", hash})
}

// PCAP writes the network capture of a sample's analysis to w. platform is the number of the
// environment (WildFire API Reference, "Get a Packet Capture"). If it is 0, WildFire chooses one.
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

	return c.download(ctx, apiCall{op: OpPCAP}, "", w, fields...)
}

// Artifact is a kind of result from the analysis of a web page.
type Artifact string

// The artifacts.
const (
	Screenshot    Artifact = "screenshot"
	DownloadFiles Artifact = "download_files"
)

// WebArtifacts writes the artifacts of a web page's analysis to w, as a tar.gz file, which may be
// empty. Without kinds, it requests all of them.
func (c *Client) WebArtifacts(ctx context.Context, url string, w io.Writer, kinds ...Artifact) (Download, error) {
	if err := checkLink(url); err != nil {
		return Download{}, invalidArgument(OpWebArtifacts, err)
	}

	fields := []field{{"url", url}}
	if len(kinds) > 0 {
		var names []string
		for _, kind := range kinds {
			names = append(names, string(kind))
		}
		fields = append(fields, field{"types", strings.Join(names, ",")})
	}

	return c.download(ctx, apiCall{op: OpWebArtifacts}, "", w, fields...)
}

// ReportPDF writes the report about a sample to w as PDF.
func (c *Client) ReportPDF(ctx context.Context, hash string, w io.Writer) (Download, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return Download{}, invalidArgument(OpReport, err)
	}
	return c.download(ctx, apiCall{op: OpReport}, "", w, field{"hash", hash}, field{"format", "pdf"})
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
	return c.download(ctx, apiCall{op: OpTestFile, path: "test/" + string(kind), public: true}, "", w)
}

// download makes a call whose answer is a file, and writes the file to w. The file must have the
// hash, unless that is "".
func (c *Client) download(ctx context.Context, call apiCall, hash string, w io.Writer, fields ...field) (got Download, err error) {
	call.build = form(call.op, fields...)
	if call.public {
		call.build = func([]field) (payload, error) { return payload{}, nil }
	}
	call.stream = true
	call.handle = func(response *http.Response, token string) (err error) {
		if response.StatusCode != http.StatusOK {
			return unexpectedStatus(call.op, response, token) // an answer such as 206 does not have the whole file
		}
		got, err = c.receive(call.op, hash, response, token, w)

		return err
	}
	err = c.do(ctx, call)

	return got, err
}

// unexpectedStatus returns the error for a success status other than 200.
func unexpectedStatus(op Op, response *http.Response, token string) error {
	failure := &APIError{Op: op, Status: response.StatusCode, kind: ErrUnexpectedStatus}
	if head, _ := bufio.NewReader(response.Body).Peek(maxHead); looksLikeText(head) && !isWildFireXML(head) {
		failure.Foreign = describeForeign(response, head, token)
	}

	return failure
}

// receive writes the requested file to w. If the beginning of the answer shows that it is something
// else, such as a document of WildFire's or a page of a proxy, receive writes nothing and returns
// an error.
func (c *Client) receive(op Op, hash string, response *http.Response, token string, w io.Writer) (Download, error) {
	reader := bufio.NewReader(response.Body)
	if isNotFile(op, response, reader) {
		body, err := readLimited(reader, maxAnswer)
		if err == nil {
			if _, err = wildfireRoot(body, maxTags); err == nil {
				err = errors.New("a document instead of a file")
			}
		}

		return Download{}, answerError(op, response, token, body, err)
	}

	head, _ := reader.Peek(maxHead)
	head = bytes.Clone(head)
	got := Download{ContentType: mediaType(response), Filename: attachment(response)}
	hashes := getHashes()
	defer putHashes(hashes)
	var err error
	got.Size, err = copyLimited(io.MultiWriter(&callerWriter{w}, hashes), reader, c.cfg.MaxDownload)
	sum := hashes.sum()
	got.SHA256 = sum.sha256
	failure := &APIError{Op: op, Status: response.StatusCode, Err: err}
	switch {
	case err == nil && (hash == "" || hash == sum.sha256 || hash == sum.md5):
		return got, nil
	case err == nil && !sentAsFile(response):
		failure.kind, failure.Foreign = ErrForeignAnswer, describeForeign(response, head, token)
	case err == nil:
		failure.kind, failure.Err = ErrAnswer, errors.New("contents do not have the requested hash")
	case errors.Is(err, errTooLong):
		failure.kind, failure.Err = ErrDownloadLimit, fmt.Errorf("over %d bytes", c.cfg.MaxDownload)
	case errors.Is(err, ErrSink):
		failure.kind = ErrSink
	default:
		return got, answerError(op, response, token, head, err)
	}

	return got, failure
}

// maxHead is how many bytes at the beginning of an answer show whether it is the requested file.
const maxHead = 512

// isNotFile reports whether the beginning of an answer shows that it is not the requested file.
// Reports in PDF, captures, archives and test files are binary, so an answer that is text is not
// the file. A sample may be text itself: the answer is not the sample if it begins like WildFire's
// error document or empty document, and its type is not application/octet-stream. Artifacts
// may be empty if the answer is sent as a file.
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

	root := rootOf(head)

	return root == "error" || root == "response" || root == "submission"
}

// sentAsFile reports whether the headers of an answer say that it is a file.
func sentAsFile(response *http.Response) bool {
	return mediaType(response) == "application/octet-stream" || attachment(response) != ""
}

// attachment returns the file name in the header Content-Disposition, or "".
func attachment(response *http.Response) string {
	_, params, err := mime.ParseMediaType(response.Header.Get("Content-Disposition"))
	if err != nil || params["filename"] == "" {
		return ""
	}
	return SafeFilename(params["filename"])
}

// copyLimited copies at most limit bytes, and returns errTooLong if there are more. 0 means no
// limit.
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

// onlyReader hides the method WriteTo of a bufio.Reader, which would copy in small pieces.
type onlyReader struct{ io.Reader }

// ErrSink matches the error of a download whose writer failed. The writer's error is wrapped.
var ErrSink = errors.New("writing download")

// callerWriter adds ErrSink to the errors of the caller's writer. A short write is an error, too.
type callerWriter struct{ io.Writer }

func (w *callerWriter) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err == nil && n != len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", ErrSink, err)
	}
	return n, err
}
