package wildfiretest

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"backburn/wildfire"
)

// builtinSince is when the service judged what it has always known.
var builtinSince = time.Date(2021, 7, 26, 20, 12, 35, 0, time.UTC)

// builtin are the samples that the service knows though nobody here submitted them: those that the
// tests of public clients rely on. They are the same in every region.
var builtin = []known{
	{
		// document.write('Hello, World!');
		sha256:   "d5b2f38c627e6cccac5eceb766c0dea4ec0282636a9915e343b39abdb2048554",
		md5:      "984ae718c3a010e1243a0a3ddc7039f1",
		filetype: "JScript",
		size:     33,
	},
	{sha256: emptySHA256, md5: emptyMD5, filetype: "Unknown file type"},
	// An MD5 can have several samples, and that of nothing has.
	{sha256: "0" + emptySHA256[1:], md5: emptyMD5, filetype: "Unknown file type"},
}

const (
	emptySHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	emptyMD5    = "d41d8cd98f00b204e9800998ecf8427e"
)

// builtins returns copies of the built-in samples with a hash.
func builtins(hash string) []*known {
	var found []*known
	for _, sample := range builtin {
		if sample.sha256 == hash || sample.md5 == hash {
			sample.preset, sample.received = true, builtinSince
			found = append(found, &sample)
		}
	}

	return found
}

// ratedHosts are judged without having been submitted, besides the hosts that are numbers.
var ratedHosts = map[string]wildfire.Verdict{
	"www.google.com": wildfire.Benign,
}

// rated is a URL that the service knows though nobody here submitted it, as it knows much of the
// web; nil for others. A host that is a number has the verdict that follows from it, or none.
func rated(link string) *known {
	parsed, err := url.Parse(link)
	if err != nil {
		return nil
	}
	verdict, ok := ratedHosts[strings.ToLower(parsed.Hostname())]
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

	return &known{
		sha256:   sha,
		md5:      md,
		url:      link,
		received: builtinSince,
		preset:   true,
		plan:     Plan{Verdict: verdict},
	}
}
