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

// Submission is WildFire's receipt for a file. It has no verdict, and does not say whether the file
// was known: ask for the verdict.
type Submission struct {
	// URL is the file's address, for SubmitURL.
	URL string

	// Filetype is the service's label, such as "PE32 executable". The report about the same file
	// may have a different one.
	Filetype string

	// Filename is the name in the service's answer; empty for SubmitURL.
	Filename string

	// SHA256 and MD5 are lower-case hexadecimal. For SubmitFile they are the digests of the bytes
	// sent; for SubmitURL the digests in the service's answer.
	SHA256, MD5 string

	// Size is in bytes.
	Size int64

	// Uncertain is set if WildFire answered with success and a document of its own, but without a
	// readable receipt for these contents: the document was truncated, or fields were missing. The
	// submission was counted: ask for the verdict, do not submit again.
	Uncertain bool
}

// SubmitFile uploads one file.
//
// It refuses locally what the service would refuse: an empty file (ErrEmptyFile), and a file over
// Config.MaxFileSize (ErrTooLarge). The answer's digests are compared with those of the bytes sent.
// If the file's contents or the answer's digests are unexpected, the error is a ContentError; in
// the second case the Submission is returned with the error. A WildFire document that cannot be
// read completely leads to a Submission with Uncertain set and no error. A success in any other
// form, such as a login page, is ErrForeignAnswer: WildFire did not send it, and it is unknown
// whether WildFire got the file.
func (c *Client) SubmitFile(ctx context.Context, file File, opts ...SubmitOption) (Submission, error) {
	var options submitOptions
	for _, option := range opts {
		option(&options)
	}
	if err := c.checkFile(file); err != nil {
		return Submission{}, err
	}

	u := &upload{
		file:     file,
		progress: options.progress,
		large:    c.cfg.ExpectContinue > 0 && file.Size >= c.cfg.ExpectContinue,
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

// minUploadRate is the lowest expected upload speed, in bytes per second. The token has to last
// until the end of the upload.
const minUploadRate = 256 << 10

// checkFile refuses files that need not be sent.
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
	}

	if file.SHA256 != "" {
		if hash, err := normalHash(file.SHA256); err != nil || len(hash) != sha256Length {
			return refuse(ErrInvalidArgument, "File.SHA256 is not a SHA-256")
		}
	}

	return nil
}

// readReceipt reads the answer to an upload, and compares its digests with those of the bytes sent.
func (u *upload) readReceipt(response *http.Response, token string) (Submission, error) {
	stream := u.current.Load()
	sha, md5 := stream.digests()
	body, err := readLimited(response.Body, maxAnswer)
	var records []Submission
	if err == nil {
		records, err = parseReceipts(body)
	}

	if sha == "" {
		// A success before the contents were sent is neither a receipt for them nor a refusal.
		return Submission{}, answerError(OpSubmitFile, response, token, body, cmp.Or(err, errEarlySuccess))
	}

	if err != nil {
		if err = receiptError(OpSubmitFile, response, token, body, err); err != nil {
			return Submission{}, err
		}
	}

	submission := Submission{
		Filename:  SafeFilename(u.file.Name),
		SHA256:    sha,
		MD5:       md5,
		Size:      u.file.Size,
		Uncertain: true,
	}
	var otherDigest string // another digest in the answer
	for _, record := range records {
		switch {
		case record.SHA256 == sha && (record.MD5 == "" || record.MD5 == md5):
			record.MD5, record.Size = md5, u.file.Size
			return record, nil
		case record.SHA256 == sha:
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
		Err: &ContentError{Expected: sha, Sent: sha, Answered: otherDigest, Detail: "the answer's digest is not that of the bytes sent"},
	}
}

var errEarlySuccess = errors.New("success before the file was sent")

// SubmitURL has the service fetch a file from a URL and analyze it; SubmitLink is for web pages.
// The service recognizes scripts, XML and HTML by the extension of the name, which may be empty.
// Not available on the WF-500. If WildFire's answer has no readable receipt, the Submission has
// only the URL, and Uncertain is set.
func (c *Client) SubmitURL(ctx context.Context, location, name string) (Submission, error) {
	if err := checkLink(location); err != nil {
		return Submission{}, invalidArgument(OpSubmitURL, err)
	}

	fields := []field{{"url", location}}
	if name != "" {
		fields = append(fields, field{"context", SafeFilename(name)})
	}

	submission := Submission{URL: location, Uncertain: true}
	err := c.do(ctx, apiCall{
		op:    OpSubmitURL,
		build: form(OpSubmitURL, fields...),
		handle: func(response *http.Response, token string) error {
			body, err := readLimited(response.Body, maxAnswer)
			var records []Submission
			if err == nil {
				records, err = parseReceipts(body)
			}
			if err != nil {
				return receiptError(OpSubmitURL, response, token, body, err)
			}
			if len(records) > 0 && records[0].SHA256 != "" {
				submission = records[0]
			}

			return nil
		},
	})
	if err != nil {
		return Submission{}, err
	}

	return submission, nil
}

// parseReceipts reads any number of upload-file-info elements, with their children in any order. An
// invalid digest counts as absent.
func parseReceipts(body []byte) ([]Submission, error) {
	return parseRecords(body, maxTags, receiptElement, (*Submission).set)
}

const receiptElement = "upload-file-info"

func (s *Submission) set(field, text string) {
	switch field {
	case "url":
		setFirst(&s.URL, text)
	case "filetype":
		setFirst(&s.Filetype, text)
	case "filename":
		setFirst(&s.Filename, text)
	case "sha256":
		setFirst(&s.SHA256, hashOf(text, sha256Length))
	case "md5":
		setFirst(&s.MD5, hashOf(text, md5Length))
	case "size":
		if size, err := strconv.ParseInt(text, 10, 64); err == nil && size > 0 {
			s.Size = size
		}
	}
}

// checkLink refuses links that the service would answer with 421, and links that would break the
// lines of a list.
func checkLink(link string) error {
	if strings.TrimSpace(link) == "" {
		return errors.New("empty link")
	}
	if strings.ContainsAny(link, "\r\n\x00") {
		return errors.New("link with a line break or NUL")
	}

	// The service adds http:// to a link without a scheme. "host:8080/x" has none, although it
	// parses as if it had.
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
