package wildfire

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// MaxHashes is the most hashes that one call of get/verdicts accepts. The call costs one query for
// any number of hashes.
const MaxHashes = 500

// Verdict asks about one sample by MD5 or SHA-256. The returned record always has a verdict; if the
// answer has none, the error matches ErrNoVerdict. If an MD5 belongs to several samples, the error
// matches ErrAmbiguous; Verdicts returns all of them.
func (c *Client) Verdict(ctx context.Context, hash string) (VerdictRecord, error) {
	hash, err := normalHash(hash)
	if err != nil {
		return VerdictRecord{}, invalidArgument(OpVerdict, err)
	}
	return c.fetchVerdict(ctx, field{"hash", hash}, func(r VerdictRecord) bool { return isAbout(r, hash) })
}

// URLVerdict asks about a URL. Not available on the WF-500, nor in every region.
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

// fetchVerdict makes a call for one verdict. It ignores records for which about returns false.
func (c *Client) fetchVerdict(ctx context.Context, what field, about func(VerdictRecord) bool) (VerdictRecord, error) {
	var found []VerdictRecord
	err := c.fetchRecords(ctx, OpVerdict, form(OpVerdict, what), func(records []VerdictRecord) error {
		for _, record := range records {
			if !about(record) {
				continue
			}
			if !record.HasVerdict {
				return ErrNoVerdict
			}

			found = append(found, record)
		}

		if len(found) == 0 {
			return ErrNoVerdict
		}

		return nil
	})
	switch {
	case err != nil:
		return VerdictRecord{}, err
	case what.name == "hash" && len(found) > 1 && countSamples(found) > 1:
		return VerdictRecord{}, &APIError{Op: OpVerdict, Status: http.StatusOK, kind: ErrAmbiguous}
	}

	return found[0], nil
}

// countSamples returns the number of different SHA-256 in the records.
func countSamples(records []VerdictRecord) int {
	seen := make(map[string]struct{}, len(records))
	for _, record := range records {
		seen[record.SHA256] = struct{}{}
	}
	return len(seen)
}

// Verdicts asks about any number of samples by MD5 or SHA-256, MaxHashes per call, and matches the
// answers by hash in any order.
//
// The records are in the order of the hashes, each hash once. A hash that the service left out has
// no record. A record without a readable verdict, or with two different ones, has HasVerdict false.
// An MD5 has one record for each sample with it. If a hash is neither an MD5 nor a SHA-256, the
// call fails before anything is sent. If a later call fails, the records of the earlier ones are
// returned with the error.
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
		err := c.fetchRecords(ctx, OpVerdicts, multipartForm(nil, "hashes.txt", text), func(records []VerdictRecord) error {
			all = append(all, selectRecords(batch, records)...)
			return nil
		})
		if err != nil {
			return all, err
		}
	}

	return all, nil
}

// mergeRecords merges the records about the same sample. If two verdicts differ, neither is
// reliable.
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

// isAbout reports whether a record is about a hash. A record without any hash counts if only one
// hash was requested.
func isAbout(record VerdictRecord, hash string) bool {
	return record.SHA256 == hash || record.MD5 == hash || record.SHA256 == "" && record.MD5 == ""
}

// VerdictsChanged returns the samples whose verdict changed since the given day (UTC), at most 30
// days back. It is documented for the WF-500 and also works in the cloud. A date out of range is
// refused locally with ErrInvalidArgument, and by the service with ErrInvalidDate.
func (c *Client) VerdictsChanged(ctx context.Context, since time.Time) ([]VerdictRecord, error) {
	day, today := since.UTC().Truncate(24*time.Hour), time.Now().UTC().Truncate(24*time.Hour)
	if day.After(today) || day.Before(today.AddDate(0, 0, -30)) {
		return nil, invalidArgument(OpVerdictsChanged, errors.New("date must lie between 30 days ago and today"))
	}

	var changed []VerdictRecord
	build := form(OpVerdictsChanged, field{"date", day.Format(time.DateOnly)})
	err := c.fetchRecords(ctx, OpVerdictsChanged, build, func(records []VerdictRecord) error {
		changed = records
		return nil
	})

	return changed, err
}

// fetchRecords makes a call whose answer has get-verdict-info records.
func (c *Client) fetchRecords(ctx context.Context, op Op, build func([]field) (payload, error), use func([]VerdictRecord) error) error {
	limit, tags := int64(maxAnswer), maxTags
	if op == OpVerdictsChanged {
		limit, tags = maxReport, maxReportTags // a record for each change, so a sample may have several
	}

	return c.do(ctx, apiCall{
		op:    op,
		build: build,
		handle: func(response *http.Response, token string) error {
			body, err := readLimited(response.Body, limit)
			if err == nil {
				var records []VerdictRecord
				if records, err = parseVerdicts(body, tags); err == nil {
					if op != OpVerdictsChanged {
						records = mergeRecords(records)
					}

					err = use(records)
				}
			}

			if err != nil {
				return answerError(op, response, token, body, err)
			}

			return nil
		},
	})
}
