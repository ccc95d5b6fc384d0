package main

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"backburn/wildfire"
)

// defanger makes text that people read harmless to click on and to paste: hxxp for http, and [.] in
// the names and addresses of hosts.
type defanger struct{ hosts *strings.Replacer }

var (
	anyURL = regexp.MustCompile(`(?i)\b(https?|ftp)://[^\s/?#"'<>]*`)
	anyIP4 = regexp.MustCompile(`\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b`)
	fangs  = strings.NewReplacer("http", "hxxp", "ftp", "fxp")
)

// newDefanger knows the hosts of a report, so that it finds them in any text.
func newDefanger(r wildfire.Report) defanger {
	domains := slices.Clone(r.Domains)
	slices.SortFunc(domains, func(a, b string) int { return cmp.Compare(len(b), len(a)) })

	var pairs []string
	for _, domain := range domains {
		pairs = append(pairs, domain, defangHost(domain))
	}

	return defanger{hosts: strings.NewReplacer(pairs...)}
}

// defangHost makes the name or the address of a host harmless.
func defangHost(host string) string {
	return strings.NewReplacer(".", "[.]", ":", "[:]").Replace(host)
}

// text makes the URLs and hosts in a text harmless.
func (d defanger) text(s string) string {
	s = anyURL.ReplaceAllStringFunc(s, func(begin string) string {
		scheme, host, _ := strings.Cut(begin, "://")
		return fangs.Replace(strings.ToLower(scheme)) + "://" + strings.ReplaceAll(host, ".", "[.]")
	})
	s = d.hosts.Replace(s)

	return anyIP4.ReplaceAllStringFunc(s, defangHost)
}
