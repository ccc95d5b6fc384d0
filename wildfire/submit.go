package wildfire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Submission is WildFire's receipt for a file. It has no verdict, and does not say whether WildFire
// knew the file before: ask for the verdict.
type Submission struct {
	// URL is the address of the file in WildFire's answer to SubmitURL.
	URL string

	// Filetype is WildFire's name for the type, such as "PE32 executable": at most 200 bytes of
	// printable ASCII. The report about the same file may have another one.
	Filetype string

	// Filename is the name in WildFire's answer, or the name sent if Uncertain is set; empty for
	// SubmitURL. It may contain any characters.
	Filename string

	// SHA256 and MD5 are lower-case hexadecimal. After SubmitFile they are the digests of the bytes
	// sent, after SubmitURL the digests in the service's answer.
	SHA256, MD5 string

	// Size is in bytes.
	Size int64

	// Uncertain is set if WildFire answered with success, but without a readable receipt for these
	// contents: its document was truncated, or lacked fields. The submission was counted, so do not
	// submit again: ask for the verdict.
	Uncertain bool
}

// SubmitFile uploads one file.
//
// Two kinds of files are refused without sending them: an empty file with ErrEmptyFile, and a file
// over Config.MaxFileSize with ErrTooLarge.
//
// If the contents do not have the size and hash in file, or the answer has other digests than the
// bytes sent, the error contains a ContentError. In the second case the Submission is returned with
// the error.
//
// If WildFire's receipt cannot be read completely, the Submission has Uncertain set, and there is
// no error. If an answer with a success status is not WildFire's, such as a login page, the error
// matches ErrForeignAnswer: WildFire may or may not have the file.
func (c *Client) SubmitFile(ctx context.Context, file File, opts ...SubmitOption) (Submission, error) {
	if err := c.checkFile(file); err != nil {
		return Submission{}, err
	}

	u := &upload{file: file, large: c.cfg.ExpectContinue > 0 && file.Size >= c.cfg.ExpectContinue}
	for _, option := range opts {
		option(u)
	}
	defer u.close()

	var submission Submission
	err := c.do(ctx, apiCall{
		op:       OpSubmitFile,
		build:    u.body,
		sendTime: time.Duration(file.Size/minUploadRate) * time.Second,
		handle: func(response *http.Response, token string) error {
			var err error
			submission, err = u.readReceipt(response, token)

			return err
		},
	})

	return submission, err
}

// minUploadRate is the lowest upload speed, in bytes per second, for which the token must last
// until the end of the upload.
const minUploadRate = 256 << 10

// checkFile returns an error for a file that cannot be submitted.
func (c *Client) checkFile(file File) error {
	refuse := func(kind error, format string, args ...any) error {
		return &APIError{Op: OpSubmitFile, kind: kind, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case file.Open == nil:
		return refuse(ErrInvalidArgument, "File.Open is nil")
	case file.Size < 0:
		return refuse(ErrInvalidArgument, "size %d is negative", file.Size)
	case file.Size == 0:
		return refuse(ErrEmptyFile, "0 bytes")
	case c.cfg.MaxFileSize > 0 && file.Size > c.cfg.MaxFileSize:
		return refuse(ErrTooLarge, "%d bytes, the limit is %d", file.Size, c.cfg.MaxFileSize)
	case file.SHA256 != "" && (len(file.SHA256) != sha256Length || parseDigest(file.SHA256, sha256Length) == ""):
		return refuse(ErrInvalidArgument, "File.SHA256 is not a SHA-256")
	}

	return nil
}

// readReceipt reads the answer to an upload, and compares the digests in it with those of the bytes
// sent.
func (u *upload) readReceipt(response *http.Response, token string) (Submission, error) {
	sent := u.current.Load().verified.Load()
	body, err := readLimited(response.Body, maxAnswer)
	var records []Submission
	if err == nil {
		records, err = parseReceipts(body)
	}

	if sent == nil {
		// A success before all contents were sent cannot be about them.
		return Submission{}, answerError(OpSubmitFile, response, token, body, cmp.Or(err, errEarlySuccess))
	}

	if err != nil {
		if err = receiptError(OpSubmitFile, response, token, body, err); err != nil {
			return Submission{}, err
		}
	}

	submission := Submission{
		Filename:  SafeFilename(u.file.Name),
		SHA256:    sent.sha256,
		MD5:       sent.md5,
		Size:      u.file.Size,
		Uncertain: true,
	}
	var otherDigest string // a digest in the answer that is not that of the bytes sent
	for _, record := range records {
		switch {
		case record.SHA256 == sent.sha256 && (record.MD5 == "" || record.MD5 == sent.md5):
			record.MD5, record.Size = sent.md5, u.file.Size
			return record, nil
		case record.SHA256 == sent.sha256:
			otherDigest = record.MD5
		case record.SHA256 != "":
			otherDigest = record.SHA256
		}
	}

	if otherDigest == "" {
		return submission, nil
	}

	return submission, &APIError{
		Op: OpSubmitFile, Status: response.StatusCode, kind: ErrAnswerMismatch,
		Err: &ContentError{Expected: sent.sha256, Sent: sent.sha256, Answered: otherDigest, Detail: "the answer's digest is not that of the bytes sent"},
	}
}

var errEarlySuccess = errors.New("success before the file was sent")

// SubmitURL asks the service to fetch a file from a URL and to analyze it. For web pages, use
// SubmitLink. name is the file's name, by whose extension the service recognizes scripts, XML and
// HTML; it may be empty. If WildFire's answer has no readable receipt, the Submission has only the
// URL, and Uncertain is set. The WF-500 does not support this call.
func (c *Client) SubmitURL(ctx context.Context, location, name string) (Submission, error) {
	if err := checkLink(location); err != nil {
		return Submission{}, invalidArgument(OpSubmitURL, err)
	}

	fields := []field{{"url", location}}
	if name != "" {
		fields = append(fields, field{"context", SafeFilename(name)})
	}

	records, err := fetch(ctx, c, apiCall{op: OpSubmitURL, build: form(OpSubmitURL, fields...)}, maxAnswer, parseReceipts)
	switch {
	case err != nil:
		return Submission{}, err
	case len(records) == 0 || records[0].SHA256 == "":
		return Submission{URL: location, Uncertain: true}, nil
	}

	return records[0], nil
}

// parseReceipts reads upload-file-info elements. An invalid digest counts as absent.
func parseReceipts(body []byte) ([]Submission, error) {
	return parseRecords(body, maxTags, receiptElement, (*Submission).set)
}

const receiptElement = "upload-file-info"

func (s *Submission) set(field, text string) {
	switch field {
	case "url":
		setFirst(&s.URL, text)
	case "filetype":
		setFirst(&s.Filetype, printable(text))
	case "filename":
		setFirst(&s.Filename, text)
	case "sha256":
		setFirst(&s.SHA256, parseDigest(text, sha256Length))
	case "md5":
		setFirst(&s.MD5, parseDigest(text, md5Length))
	case "size":
		if size, err := strconv.ParseInt(text, 10, 64); err == nil && size > 0 {
			s.Size = size
		}
	}
}

// checkLink returns an error for a link that the service would refuse with 421, or that does not
// fit in one line of a list.
func checkLink(link string) error {
	if strings.TrimSpace(link) == "" {
		return errors.New("empty link")
	}
	if strings.ContainsAny(link, "\r\n\x00") {
		return errors.New("link with a line break or NUL")
	}

	// The service adds http:// to a link without a scheme. Only "://" shows that there is a scheme:
	// url.Parse would take "host" in "host:8080/x" for one.
	scheme, _, found := strings.Cut(link, "://")
	if !found {
		return nil
	}

	if scheme = strings.ToLower(scheme); scheme != "http" && scheme != "https" {
		if u, err := url.Parse(link); err == nil && strings.EqualFold(u.Scheme, scheme) {
			return errors.New("link: scheme must be http or https")
		}
	}

	return nil
}
