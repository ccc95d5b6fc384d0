package wildfiretest

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"backburn/wildfire"
)

// builtinSince is the time of the verdicts on built-in samples.
var builtinSince = time.Date(2021, 7, 26, 20, 12, 35, 0, time.UTC)

// builtinSamples are samples that the service knows without a submission. Tests of public clients
// rely on them. They are the same in every region.
var builtinSamples = []storedSample{
	{
		// document.write('Hello, World!');
		sha256:   "d5b2f38c627e6cccac5eceb766c0dea4ec0282636a9915e343b39abdb2048554",
		md5:      "984ae718c3a010e1243a0a3ddc7039f1",
		filetype: "JScript",
		size:     33,
	},
	{sha256: emptySHA256, md5: emptyMD5, filetype: "Unknown file type"},
	// The MD5 of empty contents belongs to several samples.
	{sha256: "0" + emptySHA256[1:], md5: emptyMD5, filetype: "Unknown file type"},
}

const (
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	emptyMD5    = "d41d8cd98f00b204e9800998ecf8427e"
)

// findBuiltin returns copies of the built-in samples that have this hash.
func findBuiltin(hash string) []*storedSample {
	var found []*storedSample
	for _, sample := range builtinSamples {
		if sample.sha256 == hash || sample.md5 == hash {
			sample.preset, sample.received = true, builtinSince
			found = append(found, &sample)
		}
	}

	return found
}

// hostVerdicts has the hosts whose URLs have a verdict without a submission, besides numeric hosts.
var hostVerdicts = map[string]wildfire.Verdict{
	"www.google.com": wildfire.Benign,
}

// builtinURL returns a URL that the service knows without a submission, or nil. The verdict of a
// numeric host, if any, depends on the number.
func builtinURL(link string) *storedSample {
	parsed, err := url.Parse(link)
	if err != nil {
		return nil
	}

	verdict, ok := hostVerdicts[strings.ToLower(parsed.Hostname())]
	if number, err := strconv.ParseUint(parsed.Hostname(), 10, 32); err == nil {
		verdicts := []wildfire.Verdict{
			wildfire.Benign, wildfire.Malware, wildfire.Grayware, wildfire.Phishing, wildfire.C2,
		}
		if i := int(number % 7); i < len(verdicts) {
			verdict, ok = verdicts[i], true
		}
	}

	if !ok {
		return nil
	}

	sha, md := urlDigests(link)

	return &storedSample{
		sha256:   sha,
		md5:      md,
		url:      link,
		received: builtinSince,
		preset:   true,
		plan:     Plan{Verdict: verdict},
	}
}
