package wildfire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// MaxHashes is the most hashes that one call of get/verdicts accepts. A call counts as one query,
// whatever the number of hashes.
const MaxHashes = 500

// Verdict asks about one sample by its MD5 or SHA-256. A record that it returns always has a
// verdict. If the answer has none, the error matches ErrNoVerdict. If several samples have the MD5,
// the error matches ErrAmbiguous; use Verdicts to get all of them.
func (c *Client) Verdict(ctx context.Context, hash string) (VerdictRecord, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return VerdictRecord{}, invalidArgument(OpVerdict, err)
	}
	return c.fetchVerdict(ctx, field{"hash", hash}, func(r VerdictRecord) bool { return isAbout(r, hash) })
}

// URLVerdict asks about a URL. The WF-500 and some regions do not support this call.
func (c *Client) URLVerdict(ctx context.Context, url string) (VerdictRecord, error) {
	if err := checkLink(url); err != nil {
		return VerdictRecord{}, invalidArgument(OpVerdict, err)
	}
	record, err := c.fetchVerdict(ctx, field{"url", url}, func(VerdictRecord) bool { return true })
	if err == nil && record.URL == "" {
		record.URL = url
	}

	return record, err
}

// fetchVerdict makes a call for the verdict on what, which is a hash or a URL. It ignores records
// for which about returns false.
func (c *Client) fetchVerdict(ctx context.Context, what field, about func(VerdictRecord) bool) (VerdictRecord, error) {
	found, err := c.fetchRecords(ctx, OpVerdict, form(OpVerdict, what), func(records []VerdictRecord) ([]VerdictRecord, error) {
		records = slices.DeleteFunc(records, func(r VerdictRecord) bool { return !about(r) })
		if len(records) == 0 || slices.ContainsFunc(records, func(r VerdictRecord) bool { return !r.HasVerdict }) {
			return nil, ErrNoVerdict
		}

		return records, nil
	})
	switch {
	case err != nil:
		return VerdictRecord{}, err
	case what.name == "hash" && slices.ContainsFunc(found, func(r VerdictRecord) bool { return r.SHA256 != found[0].SHA256 }):
		return VerdictRecord{}, &APIError{Op: OpVerdict, Status: http.StatusOK, kind: ErrAmbiguous}
	}

	return found[0], nil
}

// Verdicts asks about any number of samples by MD5 or SHA-256, at most MaxHashes per call.
//
// The records are in the order of the hashes; a repeated hash counts once. A hash that the answer
// left out has no record, and an MD5 that belongs to several samples has one for each of them. If a
// record has no readable verdict, or two different ones, HasVerdict is not set.
//
// If a hash is neither an MD5 nor a SHA-256, nothing is sent. If a call fails, the records of the
// calls before it are returned with the error.
func (c *Client) Verdicts(ctx context.Context, hashes []string) ([]VerdictRecord, error) {
	wanted := make([]string, 0, len(hashes))
	seen := make(map[string]struct{}, len(hashes))
	for i, hash := range hashes {
		hash, err := normalHash(hash)
		if err != nil {
			return nil, invalidArgument(OpVerdicts, fmt.Errorf("hash %d: %w", i+1, err))
		}

		if _, ok := seen[hash]; !ok {
			seen[hash] = struct{}{}
			wanted = append(wanted, hash)
		}
	}

	all := make([]VerdictRecord, 0, len(wanted))
	for len(wanted) > 0 {
		batch := wanted[:min(len(wanted), MaxHashes)]
		wanted = wanted[len(batch):]
		text := strings.Join(batch, "\n") + "\n"
		records, err := c.fetchRecords(ctx, OpVerdicts, multipartForm(nil, "hashes.txt", text), allRecords)
		if err != nil {
			return all, err
		}

		all = append(all, selectRecords(batch, records)...)
	}

	return all, nil
}

// mergeRecords merges the records about the same sample. If their verdicts differ, none is
// reliable, and HasVerdict is not set.
func mergeRecords(records []VerdictRecord) []VerdictRecord {
	first := make(map[string]int, len(records))
	kept := records[:0]
	for _, record := range records {
		id := cmp.Or(record.SHA256, record.MD5, record.URL)
		i, seen := first[id]
		switch {
		case !seen:
			first[id] = len(kept)
			kept = append(kept, record)
		case record.HasVerdict != kept[i].HasVerdict || record.Verdict != kept[i].Verdict:
			kept[i].Verdict, kept[i].HasVerdict = 0, false
		}
	}

	return kept
}

// selectRecords returns the records for the hashes, in their order, each record once.
func selectRecords(hashes []string, records []VerdictRecord) []VerdictRecord {
	byHash := make(map[string][]int, 2*len(records))
	for i, record := range records {
		for _, hash := range []string{record.SHA256, record.MD5} {
			if hash != "" {
				byHash[hash] = append(byHash[hash], i)
			}
		}
	}

	used := make([]bool, len(records))
	matched := make([]VerdictRecord, 0, len(hashes))
	for _, hash := range hashes {
		for _, i := range byHash[hash] {
			if !used[i] {
				used[i] = true
				matched = append(matched, records[i])
			}
		}
	}

	return matched
}

// isAbout reports whether a record is about the only hash that was sent. A record without any hash
// can only be about that one.
func isAbout(record VerdictRecord, hash string) bool {
	return record.SHA256 == hash || record.MD5 == hash || record.SHA256 == "" && record.MD5 == ""
}

// VerdictsChanged returns the samples whose verdict changed since the given day in UTC. If the day
// is in the future or more than 30 days ago, nothing is sent, and the error matches
// ErrInvalidArgument. If the service refuses the date, the error matches ErrInvalidDate. The call
// is documented for the WF-500, and also works in the cloud.
func (c *Client) VerdictsChanged(ctx context.Context, since time.Time) ([]VerdictRecord, error) {
	day, today := since.UTC().Truncate(24*time.Hour), time.Now().UTC().Truncate(24*time.Hour)
	if day.After(today) || day.Before(today.AddDate(0, 0, -30)) {
		return nil, invalidArgument(OpVerdictsChanged, errors.New("date must lie between 30 days ago and today"))
	}

	build := form(OpVerdictsChanged, field{"date", day.Format(time.DateOnly)})

	return c.fetchRecords(ctx, OpVerdictsChanged, build, allRecords)
}

// fetchRecords makes a call whose answer has get-verdict-info elements, and returns those that
// choose returns.
func (c *Client) fetchRecords(ctx context.Context, op Op, build func([]field) (payload, error),
	choose func([]VerdictRecord) ([]VerdictRecord, error),
) ([]VerdictRecord, error) {
	limit, tags := int64(maxAnswer), maxTags
	if op == OpVerdictsChanged {
		limit, tags = maxReport, maxReportTags // a sample has a record for each change
	}

	return fetch(ctx, c, apiCall{op: op, build: build}, limit, func(body []byte) ([]VerdictRecord, error) {
		records, err := parseVerdicts(body, tags)
		if err != nil {
			return nil, err
		}
		if op != OpVerdictsChanged {
			records = mergeRecords(records)
		}

		return choose(records)
	})
}

// allRecords chooses all records of an answer.
func allRecords(records []VerdictRecord) ([]VerdictRecord, error) { return records, nil }
