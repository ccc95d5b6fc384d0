package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"backburn/wildfire"
)

// defanger makes URLs and hosts in text safe to click and paste: it writes hxxp for http, and [.]
// in host names and addresses.
type defanger struct{ hosts *strings.Replacer }

var (
	urlStart       = regexp.MustCompile(`(?i)\b(https?|ftp)://[^\s/?#"'<>]*`)
	ipv4Address    = regexp.MustCompile(`\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b`)
	schemeReplacer = strings.NewReplacer("http", "hxxp", "ftp", "fxp")
)

// newDefanger returns a defanger that finds the hosts of the report in any text.
func newDefanger(r wildfire.Report) defanger {
	domains := slices.Clone(r.Domains)
	slices.SortFunc(domains, func(a, b string) int { return cmp.Compare(len(b), len(a)) })

	var pairs []string
	for _, domain := range domains {
		pairs = append(pairs, domain, defangHost(domain))
	}

	return defanger{hosts: strings.NewReplacer(pairs...)}
}

func defangHost(host string) string {
	return strings.NewReplacer(".", "[.]", ":", "[:]").Replace(host)
}

// text defangs the URLs and hosts in s.
func (d defanger) text(s string) string {
	s = urlStart.ReplaceAllStringFunc(s, func(begin string) string {
		scheme, host, _ := strings.Cut(begin, "://")
		return schemeReplacer.Replace(strings.ToLower(scheme)) + "://" + strings.ReplaceAll(host, ".", "[.]")
	})
	s = d.hosts.Replace(s)

	return ipv4Address.ReplaceAllStringFunc(s, defangHost)
}
