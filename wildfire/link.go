package wildfire

import (
	"context"
	"fmt"
	"strings"
)

// MaxLinks is the most links that one call of submit/links accepts.
const MaxLinks = 1000

// LinkSubmission is WildFire's receipt for a web page.
type LinkSubmission struct {
	// URL is the link as the service recorded it, with http:// if the link had no scheme.
	URL string

	// SHA256 and MD5 are the digests of that URL. The verdict can be requested by either.
	SHA256, MD5 string

	// Uncertain is set if WildFire answered with success, but without a readable receipt. The link
	// was counted: ask for its verdict with URLVerdict.
	Uncertain bool
}

// SubmitLink submits the URL of a web page.
func (c *Client) SubmitLink(ctx context.Context, link string) (LinkSubmission, error) {
	if err := checkLink(link); err != nil {
		return LinkSubmission{}, invalidArgument(OpSubmitLink, err)
	}

	records, err := c.postLinks(ctx, OpSubmitLink, form(OpSubmitLink, field{"link", link}))
	switch {
	case err != nil:
		return LinkSubmission{}, err
	case len(records) == 0:
		return LinkSubmission{URL: link, Uncertain: true}, nil
	}

	return records[0], nil
}

// SubmitLinks submits any number of links, at most MaxLinks per call. It returns one receipt for
// each link, in the order of the links. If the answer lacks a link's receipt, Uncertain is set. If
// a call fails, the receipts of the calls before it are returned with the error.
func (c *Client) SubmitLinks(ctx context.Context, links []string) ([]LinkSubmission, error) {
	for i, link := range links {
		if err := checkLink(link); err != nil {
			return nil, invalidArgument(OpSubmitLinks, fmt.Errorf("link %d: %w", i+1, err))
		}
		if strings.TrimSpace(link) != link {
			return nil, invalidArgument(OpSubmitLinks, fmt.Errorf("link %d: spaces around it", i+1))
		}
	}

	var all []LinkSubmission
	for len(links) > 0 {
		batch := links[:min(len(links), MaxLinks)]
		links = links[len(batch):]
		text := "panlnk\n" + strings.Join(batch, "\n") + "\n"
		records, err := c.postLinks(ctx, OpSubmitLinks, multipartForm(nil, "links.txt", text))
		if err != nil {
			return all, err
		}

		all = append(all, matchReceipts(batch, records)...)
	}

	return all, nil
}

// postLinks submits links and returns the receipts in the answer.
func (c *Client) postLinks(ctx context.Context, op Op, build func([]field) (payload, error)) ([]LinkSubmission, error) {
	return fetch(ctx, c, apiCall{op: op, build: build}, maxReport, parseLinks) // a large limit, because the answer repeats the URLs
}

// parseLinks reads submit-link-info elements. It sets Uncertain for one without a SHA-256.
func parseLinks(body []byte) ([]LinkSubmission, error) {
	records, err := parseRecords(body, maxTags, linkElement, (*LinkSubmission).set)
	for i := range records {
		records[i].Uncertain = records[i].SHA256 == ""
	}
	return records, err
}

const linkElement = "submit-link-info"

func (l *LinkSubmission) set(field, text string) {
	switch field {
	case "url":
		setFirst(&l.URL, text)
	case "sha256":
		setFirst(&l.SHA256, parseDigest(text, sha256Length))
	case "md5":
		setFirst(&l.MD5, parseDigest(text, md5Length))
	}
}

// matchReceipts returns the receipts in the order of the links. It matches them by URL, with or
// without the http:// that the service adds.
func matchReceipts(links []string, records []LinkSubmission) []LinkSubmission {
	byURL := make(map[string]LinkSubmission, len(records))
	for _, record := range records {
		byURL[record.URL] = record
	}

	matched := make([]LinkSubmission, len(links))
	for i, link := range links {
		record, ok := byURL[link]
		if !ok {
			record, ok = byURL["http://"+link]
		}
		if !ok {
			record = LinkSubmission{URL: link, Uncertain: true}
		}

		matched[i] = record
	}

	return matched
}
