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

// Submission is WildFire's receipt for a file. It holds no verdict, and does not tell whether the
// file was known: ask for both.
type Submission struct {
	// URL is where the file came from, for SubmitURL.
	URL string

	// Filetype is the service's label, such as "PE32 executable"; a report may name the same file's
	// otherwise.
	Filetype string

	// Filename is the name as the service echoed it; empty for SubmitURL.
	Filename string

	// SHA256 and MD5 are lower-case hexadecimal. For SubmitFile they are those of the bytes that
	// were sent; for SubmitURL those that the service reports.
	SHA256, MD5 string

	// Size is in bytes.
	Size int64

	// Uncertain is set where WildFire answered with success, and with a document of its own, but
	// not with a readable receipt for these contents: the document was cut short, or fields were
	// missing. The submission was counted: go on with the verdict, do not submit again.
	Uncertain bool
}

// SubmitFile uploads one file.
//
// It refuses locally what the service would: an empty file (ErrEmptyFile), and one over
// Config.MaxFileSize (ErrTooLarge). The answer's digests are compared with those of the bytes sent.
// See ContentError for what happens when either the file or the answer is not what was expected; in
// the second case the Submission is returned together with the error. A document of WildFire's that
// cannot be read to its end is a Submission with Uncertain set and no error. A success in any other
// form, such as a login page, is ErrForeignAnswer: something on the way gave it, and nothing is
// known of the file.
func (c *Client) SubmitFile(ctx context.Context, file File, opts ...SubmitOption) (Submission, error) {
	var options submitOptions
	for _, option := range opts {
		option(&options)
	}
	if err := c.acceptable(file); err != nil {
		return Submission{}, err
	}
	u := &upload{
		file:     file,
		progress: options.progress,
		large:    c.cfg.ExpectContinue > 0 && file.Size >= c.cfg.ExpectContinue,
	}
	defer u.close()

	var submission Submission
	err := c.do(ctx, exchange{
		op:    OpSubmitFile,
		build: u.body,
		takes: time.Duration(file.Size/slowLine) * time.Second,
		answer: func(response *http.Response, token string) error {
			var err error
			submission, err = u.receipt(response, token)
			return err
		},
	})
	return submission, err
}

// slowLine is what the upload of a file is expected to move at least, in bytes per second: its
// token has to last until the end.
const slowLine = 256 << 10

// acceptable refuses what need not be sent.
func (c *Client) acceptable(file File) error {
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

// receipt reads the answer to an upload. Whatever it holds, the digests of the bytes sent are
// known.
func (u *upload) receipt(response *http.Response, token string) (Submission, error) {
	stream := u.current.Load()
	sha, md := stream.sums()
	body, err := readLimited(response.Body, maxAnswer)
	var records []Submission
	if err == nil {
		records, err = parseReceipts(body)
	}
	if sha == "" {
		// A success before the contents were out is no receipt for them, nor is it a refusal.
		return Submission{}, answerError(OpSubmitFile, response, token, body, cmp.Or(err, errEarlySuccess))
	}
	if err != nil {
		if err = counted(OpSubmitFile, response, token, body, err); err != nil {
			return Submission{}, err
		}
	}

	submission := Submission{
		Filename:  SafeFilename(u.file.Name),
		SHA256:    sha,
		MD5:       md,
		Size:      u.file.Size,
		Uncertain: true,
	}
	var other string
	for _, record := range records {
		switch {
		case record.SHA256 == sha && (record.MD5 == "" || record.MD5 == md):
			record.MD5, record.Size = md, u.file.Size
			return record, nil
		case record.SHA256 == sha:
			other = record.MD5
		case record.SHA256 != "":
			other = record.SHA256
		}
	}
	if other == "" {
		return submission, nil
	}
	return submission, &APIError{
		Op: OpSubmitFile, Status: response.StatusCode, kind: ErrAnswerMismatch,
		Err: &ContentError{Expected: sha, Sent: sha, Answered: other, Detail: "the answer's digest is not that of the bytes sent"},
	}
}

var errEarlySuccess = errors.New("success before the file was sent")

// SubmitURL has the service fetch a file from a URL and analyze it; SubmitLink is for web pages.
// The name, which may be empty, tells the type of scripts and of XML and HTML by its extension. Not
// available on the WF-500. An answer of WildFire's without a readable receipt is a Submission with
// Uncertain set that knows only the URL.
func (c *Client) SubmitURL(ctx context.Context, location, name string) (Submission, error) {
	if err := checkLink(location); err != nil {
		return Submission{}, invalid(OpSubmitURL, err)
	}
	fields := []field{{"url", location}}
	if name != "" {
		fields = append(fields, field{"context", SafeFilename(name)})
	}
	submission := Submission{URL: location, Uncertain: true}
	err := c.do(ctx, exchange{
		op:    OpSubmitURL,
		build: form(OpSubmitURL, fields...),
		answer: func(response *http.Response, token string) error {
			body, err := readLimited(response.Body, maxAnswer)
			var records []Submission
			if err == nil {
				records, err = parseReceipts(body)
			}
			if err != nil {
				return counted(OpSubmitURL, response, token, body, err)
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

// parseReceipts reads the upload-file-info elements, in whatever order their children are and
// however many there are. A digest that is not one is treated as absent.
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

// checkLink refuses what the service answers with 421, and what would break a line of a list.
func checkLink(link string) error {
	if strings.TrimSpace(link) == "" {
		return errors.New("empty link")
	}
	if strings.ContainsAny(link, "\r\n\x00") {
		return errors.New("link with a line break or NUL")
	}
	// Without a scheme the service puts http:// in front. "host:8080/x" has none, though it parses
	// as if.
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
