package cortex

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const maxHubParams = 16 << 10 // bytes

// HubParams has the parameters that the Cortex hub appends to an app's URL when an administrator
// activates an instance. All values are opaque strings: an instance ID has more digits than a
// float64 can hold.
type HubParams struct {
	InstanceID   string
	InstanceName string
	Region       string // "americas", "europe"
	LSN          string
	Description  string
	Custom       map[string]string // parameters from the app's manifest
}

// ParseHubParams decodes the value of the hub's parameter "params": a URL query in base64, in
// either alphabet, with or without padding. Spaces count as plus signs, because decoding a query
// string turns plus signs into spaces. instance_id and region are required, names must not repeat,
// and the region must be one of Regions.
func ParseHubParams(encoded string) (HubParams, error) {
	if len(encoded) > maxHubParams {
		return HubParams{}, errors.New("hub params: longer than 16 KiB")
	}

	raw, err := decodeAnyBase64(strings.ReplaceAll(strings.TrimSpace(encoded), " ", "+"))
	if err != nil {
		return HubParams{}, err
	}

	query, err := url.ParseQuery(raw)
	if err != nil {
		return HubParams{}, errors.New("hub params: the decoded value is not a URL query")
	}

	p := HubParams{Custom: map[string]string{}}
	fields := map[string]*string{
		"instance_id":   &p.InstanceID,
		"instance_name": &p.InstanceName,
		"region":        &p.Region,
		"lsn":           &p.LSN,
		"description":   &p.Description,
	}
	for name, values := range query {
		value := values[0]
		switch {
		case len(values) > 1:
			return HubParams{}, fmt.Errorf("hub params: %q occurs more than once", name)
		case !printable(name) || !printable(value):
			return HubParams{}, errors.New("hub params: the decoded value has bytes that are not text")
		case fields[name] != nil:
			*fields[name] = value
		default:
			p.Custom[name] = value
		}
	}

	if p.InstanceID == "" || p.Region == "" {
		return HubParams{}, errors.New("hub params: instance_id and region are required")
	}
	if _, known := Regions[p.Region]; !known {
		return HubParams{}, fmt.Errorf("hub params: region %q is not one of %s", p.Region, regionList())
	}

	return p, nil
}

func regionList() string { return strings.Join(slices.Sorted(maps.Keys(Regions)), ", ") }

func decodeAnyBase64(s string) (string, error) {
	if strings.ContainsAny(s, "\r\n") { // the decoders would skip these
		return "", errors.New("hub params: not base64")
	}
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if raw, err := enc.DecodeString(s); err == nil {
			return string(raw), nil
		}
	}
	return "", errors.New("hub params: not base64")
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) })
}
