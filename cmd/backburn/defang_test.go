package main

import (
	"testing"

	"backburn/wildfire"
)

// The text of a report contains nothing that can be clicked.
func TestDefang(t *testing.T) {
	t.Parallel()
	d := newDefanger(wildfire.Report{Domains: []string{"example.net", "c2.example.net"}})
	for text, want := range map[string]string{
		"http://c2.example.net/a.php?b=c.d":    "hxxp://c2[.]example[.]net/a.php?b=c.d",
		"HTTPS://user@Host.Example:8443/x":     "hxxps://user@Host[.]Example:8443/x",
		"get ftp://files.example.org/a.exe":    "get fxp://files[.]example[.]org/a.exe",
		"ping c2.example.net, example.net":     "ping c2[.]example[.]net, example[.]net",
		`cmd /c "curl http://198.51.100.7/x"`:  `cmd /c "curl hxxp://198[.]51[.]100[.]7/x"`,
		"198.51.100.7:80 talks":                "198[.]51[.]100[.]7:80 talks",
		`C:\Windows\system32.exe`:              `C:\Windows\system32.exe`,
		"http://a.b http://c.d":                "hxxp://a[.]b hxxp://c[.]d",
		"hxxp://c2[.]example[.]net/ is as was": "hxxp://c2[.]example[.]net/ is as was",
	} {
		if got := d.text(text); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}

	for host, want := range map[string]string{"2001:db8::7": "2001[:]db8[:][:]7", "a.example": "a[.]example"} {
		if got := defangHost(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}
