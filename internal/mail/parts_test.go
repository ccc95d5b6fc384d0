package mail

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// attachmentsOf returns the names and contents of a mail's attachments.
func attachmentsOf(t testing.TB, raw string) []string {
	t.Helper()
	in := bufio.NewReader(strings.NewReader(raw))
	h, err := readHeader(in)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	err = walk(&h, in, 1<<20, func(a attachment) error {
		b, err := io.ReadAll(a.body)
		found = append(found, fmt.Sprintf("%s %s: %s", a.number, a.name, b))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	return found
}

// crlf converts line ends to those of the wire format.
func crlf(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") }

// mixed returns a mail with a text and further parts.
func mixed(parts ...string) string {
	return "MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=BB\n\n--BB\nContent-Type: text/plain\n\nhello\n--BB\n" +
		strings.Join(parts, "\n--BB\n") + "\n--BB--\n"
}

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

// file returns a part with a disposition.
func file(disposition, body string) string {
	return "Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\nContent-Disposition: attachment; " + disposition + "\n\n" + b64(body)
}

// encoded is an attachment with "MZ" in base64, and a value of Content-Transfer-Encoding.
func encoded(encoding string) string {
	return "Content-Disposition: attachment; filename=a.exe\nContent-Transfer-Encoding: " + encoding + "\n\n" + b64("MZ")
}

var mailCases = map[string]struct {
	raw  string
	want []string
}{
	"a plain text":              {"Subject: x\n\nhello\n", nil},
	"no header":                 {"\nhello\n", nil},
	"a text in HTML":            {"Content-Type: text/html\n\n<html>phish</html>\n", nil},
	"alternatives":              {"Content-Type: multipart/alternative; boundary=\"A\"\n\n--A\n\nx\n--A\nContent-Type: text/html\n\n<p>\n--A--\n", nil},
	"an executable":             {mixed(file(`filename="invoice.exe"`, "MZ")), []string{"2 invoice.exe: MZ"}},
	"two of one name":           {mixed(file(`filename="a.pdf"`, "A1"), file(`filename="a.pdf"`, "A2")), []string{"2 a.pdf: A1", "3 a.pdf: A2"}},
	"named as munpack's own":    {mixed(file(`filename="evil.desc"`, "MZ")), []string{"2 evil.desc: MZ"}},
	"named message":             {mixed(file(`filename=message`, "MZ")), []string{"2 message: MZ"}},
	"a hidden file":             {mixed(file(`filename=".hidden.exe"`, "MZ")), []string{"2 .hidden.exe: MZ"}},
	"blanks":                    {mixed(file(`filename="my file (1).doc"`, "x")), []string{"2 my file (1).doc: x"}},
	"blanks, no quotes":         {mixed(file(`filename=my file.exe`, "x")), []string{"2 my file.exe: x"}},
	"a hyphen":                  {mixed(file(`filename="-rf.exe"`, "MZ")), []string{"2 -rf.exe: MZ"}},
	"RFC 2231":                  {mixed(file(`filename*=utf-8''Rechnung_%C3%BC%C3%A4.exe`, "MZ")), []string{"2 Rechnung_üä.exe: MZ"}},
	"RFC 2231, Latin-1":         {mixed(file(`filename*=iso-8859-1'de'%FC.exe`, "MZ")), []string{"2 ü.exe: MZ"}},
	"RFC 2231, in pieces":       {mixed(file("filename*1=\"ice.e\"; filename*0*=utf-8''inv%6F; filename*2=xe", "MZ")), []string{"2 invoice.exe: MZ"}},
	"RFC 2231 and a plain one":  {mixed(file(`filename="a.txt"; filename*=utf-8''a.exe`, "MZ")), []string{"2 a.exe: MZ"}},
	"RFC 2047":                  {mixed(file(`filename="=?utf-8?B?w7wuZXhl?="`, "MZ")), []string{"2 ü.exe: MZ"}},
	"RFC 2047, in pieces":       {mixed(file("filename=\"=?utf-8?Q?=C3=BC?=\n =?windows-1252?Q?=E4.exe?=\"", "MZ")), []string{"2 üä.exe: MZ"}},
	"RFC 2047, unknown charset": {mixed(file(`filename="=?x-none?Q?a?="`, "MZ")), []string{"2 =?x-none?Q?a?=: MZ"}},
	"unencoded Latin-1":         {mixed(file("filename=\"\xfc.exe\"", "MZ")), []string{"2 ü.exe: MZ"}},
	"230 bytes":                 {mixed(file(`filename="`+strings.Repeat("L", 230)+`.exe"`, "MZ")), []string{"2 " + strings.Repeat("L", 230) + ".exe: MZ"}},
	"1,000 bytes":               {mixed(file(`filename="`+strings.Repeat("L", 1000)+`.exe"`, "MZ")), []string{"2 " + strings.Repeat("L", 251) + ".exe: MZ"}},
	"a temporary name":          {mixed(file(`filename="update.tmp"`, "MZ")), []string{"2 update.tmp: MZ"}},
	"a path":                    {mixed(file(`filename="../../../etc/passwd.exe"`, "MZ")), []string{"2 passwd.exe: MZ"}},
	"a path of Windows":         {mixed(file(`filename="C:\\Users\\x\\a.exe"`, "MZ")), []string{"2 a.exe: MZ"}},
	"only a path":               {mixed(file(`filename="../.."`, "MZ")), []string{"2 part2: MZ"}},
	"a NUL, a line end":         {mixed(file("filename*=utf-8''a%00%0D%0Ab.exe", "MZ")), []string{"2 ab.exe: MZ"}},
	"an empty name":             {mixed(file(`filename=""`, "MZ")), []string{"2 part2: MZ"}},
	"empty":                     {mixed(file(`filename="empty.exe"`, "")), []string{"2 empty.exe: "}},
	"no name":                   {mixed("Content-Type: application/x-dosexec\nContent-Transfer-Encoding: base64\n\nTVo="), []string{"2 part2: MZ"}},
	"a script without a name":   {mixed("Content-Type: text/javascript\n\nvar x"), []string{"2 part2.js: var x"}},
	"the name of the type":      {mixed("Content-Type: text/plain; name=\"evil.js\"\n\nvar x"), []string{"2 evil.js: var x"}},
	"a text as attachment":      {mixed("Content-Type: text/plain\nContent-Disposition: attachment\n\nvar x"), []string{"2 part2: var x"}},
	"no type, but a name":       {mixed("Content-Disposition: inline; filename=a.vbs\n\nx"), []string{"2 a.vbs: x"}},
	"the mail is a file":        {"Content-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: base64\n\nUEs=\n", []string{"1 a.zip: PK"}},
	"nested": {
		mixed("Content-Type: message/rfc822\n\n" + strings.ReplaceAll(mixed(file(`filename="inner.exe"`, "MZ")), "BB", "CC")),
		[]string{"2.2 inner.exe: MZ"},
	},
	"nested, encoded": {
		mixed("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + b64("Subject: x\nContent-Type: multipart/mixed; boundary=CC\n\n--CC\n"+file(`filename="inner.exe"`, "MZ")+"\n--CC--\n")),
		[]string{"2.1 inner.exe: MZ"},
	},
	"nested, the same boundary": {mixed("Content-Type: multipart/mixed; boundary=BB\n\n--BB\n" + file(`filename="a.exe"`, "MZ")), []string{"3 a.exe: MZ"}},
	"not a message despite its type": {
		mixed("Content-Type: message/rfc822; name=a.exe\nContent-Transfer-Encoding: base64\n\n" + b64("MZ\x90 no header")),
		[]string{"2 a.exe: MZ\x90 no header"},
	},
	"no last boundary":           {strings.TrimSuffix(mixed(file(`filename="a.exe"`, "MZ")), "--BB--\n"), []string{"2 a.exe: MZ"}},
	"after the last boundary":    {mixed(file(`filename="a.exe"`, "MZ")) + "--BB\n" + file(`filename="b.exe"`, "MZ2") + "\n", []string{"2 a.exe: MZ", "3 b.exe: MZ2"}},
	"a boundary with blanks":     {strings.ReplaceAll(mixed(file(`filename="a.exe"`, "MZ")), "--BB\n", "--BB \t\n"), []string{"2 a.exe: MZ"}},
	"not a boundary":             {mixed("Content-Type: application/x\n\na\n--BBx\n--B\nb"), []string{"2 part2: a\n--BBx\n--B\nb"}},
	"no boundary":                {"Content-Type: multipart/mixed\n\nMZ\n", []string{"1 part1: MZ\n"}},
	"another boundary":           {"Content-Type: multipart/mixed; boundary=other\n\n--BB\nMZ\n", []string{"1 part1: --BB\nMZ\n"}},
	"a container, encoded":       {"Content-Type: multipart/mixed; boundary=BB\nContent-Transfer-Encoding: base64\n\n" + b64("--BB\n"+file(`filename="a.exe"`, "MZ")+"\n--BB--\n"), []string{"1 a.exe: MZ"}},
	"two types":                  {"Content-Type: text/plain\nContent-Type: multipart/mixed; boundary=BB\n\n--BB\n" + file(`filename="a.exe"`, "MZ") + "\n--BB--\n", []string{"1 a.exe: MZ"}},
	"a line that is not a field": {mixed("Content-Type: application/x\nnonsense\n more\nContent-Disposition: attachment; filename=a.exe\n\nMZ"), []string{"2 a.exe: MZ"}},
	"a blank before the colon":   {mixed("Content-Type : application/x\nContent-Disposition\t: attachment; filename=a.exe\n\nMZ"), []string{"2 a.exe: MZ"}},
	"an unterminated quote":      {mixed(file(`filename="a.exe`, "MZ")), []string{"2 a.exe: MZ"}},
	"an escaped quote":           {mixed(file(`filename="a\"b;c.exe"; size=1`, "MZ")), []string{`2 a"b;c.exe: MZ`}},
	"two names":                  {mixed(file(`filename="a.exe"; filename="b.txt"`, "MZ")), []string{"2 a.exe: MZ"}},
	"invalid base64":             {mixed("Content-Type: application/x\nContent-Transfer-Encoding: BASE64 \n\nT V*o=\nTVo\n"), []string{"2 part2: MZMZ"}},
	"quoted-printable":           {mixed("Content-Type: application/x\nContent-Transfer-Encoding: Quoted-Printable\n\n=4d=5A=\n =ZZ= \nx"), []string{"2 part2: MZ =ZZx"}},
	"an unknown encoding":        {mixed("Content-Type: application/x\nContent-Transfer-Encoding: x-none\n\nMZ"), []string{"2 part2: MZ"}},
	"a long line": {
		mixed("Content-Type: application/x\nContent-Transfer-Encoding: quoted-printable\n\n" + strings.Repeat("=41", 20_000)),
		[]string{"2 part2: " + strings.Repeat("A", 20_000)},
	},
	"a long header": {mixed("X: " + strings.Repeat("x", 300_000) + "\nContent-Disposition: attachment; filename=a.exe\n\nMZ"), []string{"2 a.exe: MZ"}},
	"a header that is too long": {
		mixed(strings.Repeat("Content-Disposition: inline\n", 20_000) + "Content-Type: multipart/mixed; boundary=CC\n\n--CC\nContent-Disposition: attachment; filename=a.exe\n\nMZ"),
		[]string{"2 part2: --CC\nContent-Disposition: attachment; filename=a.exe\n\nMZ", "2 part2: " + unbase64("--CC\nContent-Disposition: attachment; filename=a.exe\n\nMZ")},
	},
	"an encoding with a comment":  {mixed(encoded("base64 (of RFC 2045)")), []string{"2 a.exe: MZ"}},
	"an encoding after a comment": {mixed(encoded("(one) base64")), []string{"2 a.exe: MZ"}},
	"an encoding in quotes":       {mixed(encoded(`"base64"`)), []string{"2 a.exe: MZ"}},
	"two encodings":               {mixed(encoded("7bit\nContent-Transfer-Encoding: base64")), []string{"2 a.exe: TVo=", "2 a.exe: MZ"}},
	"two words as encoding":       {mixed(encoded("base64 8bit")), []string{"2 a.exe: MZ", "2 a.exe: TVo="}},
	"a text, also of another type": {
		mixed("Content-Type: text/plain\nContent-Type: application/x-dosexec\n\nMZ"),
		[]string{"2 part2: MZ"},
	},
	"an attachment with a comment": {mixed("Content-Type: text/plain\nContent-Disposition: attachment (a file)\n\nMZ"), []string{"2 part2: MZ"}},
	"an unknown disposition":       {mixed("Content-Type: text/plain\nContent-Disposition: other\n\nMZ"), []string{"2 part2: MZ"}},
	"a text inline":                {mixed("Content-Type: text/plain\nContent-Disposition: inline (here)\n\nhello"), nil},
	"comments in a container's type": {
		strings.Replace(mixed(file("filename=a.exe", "MZ")), "multipart/mixed; boundary=BB", `multipart/mixed (a (b) \) c); boundary (d) = "BB"`, 1),
		[]string{"2 a.exe: MZ"},
	},
	"two boundaries, the second one is used": {
		strings.Replace(mixed(file("filename=a.exe", "MZ")), "boundary=BB", "boundary=XX; boundary=BB", 1),
		[]string{"2 a.exe: MZ"},
	},
	"two boundaries, both are used": {
		"Content-Type: multipart/mixed; boundary=XX\nContent-Type: multipart/mixed; boundary=BB\n\n--XX\n\nhello\n--BB\n" + file("filename=a.exe", "MZ") + "\n--BB--\n--XX--\n",
		[]string{"1 a.exe: MZ"},
	},
	"a message that is a script by its name": {
		mixed("Content-Type: message/rfc822; name=a.js\n\nx:\n\nalert()"),
		[]string{"2 a.js: x:\n\nalert()"},
	},
	"a message with its usual name": {
		mixed("Content-Type: message/rfc822; name=\"Re: v1.2 is out.eml\"\n\nSubject: x\n\nhello"),
		nil,
	},
	"a message named by its subject": {
		mixed("Content-Type: message/rfc822; name=\"Re: v1.2 is out\"\n\nSubject: x\n\nhello"),
		nil,
	},
	"a report":         {mixed("Content-Type: message/delivery-status\n\nStatus: 5.1.1", "Content-Type: text/rfc822-headers\n\nSubject: x"), nil},
	"an external body": {mixed("Content-Type: message/external-body; access-type=URL\n\nx"), []string{"2 part2: x"}},
}

func TestAttachments(t *testing.T) {
	t.Parallel()
	for name, tc := range mailCases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, attachmentsOf(t, tc.raw)); diff != "" {
				t.Errorf("with LF (-want +got):\n%s", diff)
			}
			want := make([]string, len(tc.want))
			for i, w := range tc.want {
				want[i] = crlf(w) // parts with line ends here are not encoded
			}
			if got := attachmentsOf(t, crlf(tc.raw)); len(got)+len(want) > 0 && cmp.Diff(want, got) != "" {
				t.Errorf("with CRLF (-want +got):\n%s", cmp.Diff(want, got))
			}
		})
	}
}

// A container that is nested too deeply is an attachment.
func TestDepth(t *testing.T) {
	t.Parallel()
	raw := file(`filename="deep.exe"`, "MZ")
	for i := range 30 {
		raw = fmt.Sprintf("Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n%s\n--b%d--\n", i, i, raw, i)
	}
	got := attachmentsOf(t, raw)
	if len(got) != 1 || !strings.Contains(got[0], "deep.exe") || !strings.HasPrefix(got[0], strings.Repeat("1.", maxDepth-1)+"1 part") {
		t.Errorf("%.200q", got)
	}
}

// unbase64 decodes base64 and ignores other characters.
func unbase64(s string) string {
	b, _ := io.ReadAll(decoded(base64Encoding, strings.NewReader(s))) // never fails
	return string(b)
}

// A field that is too long to be read makes the part an attachment, whatever type it begins with.
func TestOverlongFieldOfAPart(t *testing.T) {
	t.Parallel()
	for name, field := range map[string]string{
		"one line": "Content-Type: text/plain; x=" + strings.Repeat("x", maxHeader) + "; name=evil.exe",
		"folded":   "Content-Type: text/plain" + strings.Repeat(";\n x=y", maxHeader/5) + ";\n name=evil.exe",
	} {
		raw := "Content-Type: multipart/mixed; boundary=B\n\n--B\n" + field + "\n\nTVo=\n--B--\n"
		if got := attachmentsOf(t, raw); len(got) != 2 || !strings.HasSuffix(got[0], ": TVo=") || !strings.HasSuffix(got[1], ": MZ") {
			t.Errorf("%s: %.200q", name, got)
		}
	}
}

// A mail that consists only of boundaries is refused after a limited number of parts.
func TestTooManyEntities(t *testing.T) {
	t.Parallel()
	in := bufio.NewReader(strings.NewReader("Content-Type: multipart/mixed; boundary=B\n\n" + strings.Repeat("--B\n\n", maxEntities+1)))
	h, err := readHeader(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := walk(&h, in, 1<<20, func(attachment) error { return nil }); !errors.Is(err, errTooManyParts) {
		t.Errorf("%v", err)
	}
}

// An error from visit ends the walk.
// Each of nested containers may have several boundaries that delimit the same parts. What they cost
// is bounded.
func TestNestedAmbiguousContainers(t *testing.T) {
	t.Parallel()
	raw := file(`filename="deep.exe"`, strings.Repeat("MZ", 5000))
	for i := range maxDepth {
		var all, lines strings.Builder
		for n := range 4 {
			fmt.Fprintf(&all, "; boundary=b%d-%d", i, n)
			fmt.Fprintf(&lines, "--b%d-%d\n", i, n)
		}
		raw = "Content-Type: multipart/mixed" + all.String() + "\n\n" + lines.String() + raw + "\n"
	}
	in := bufio.NewReader(strings.NewReader(raw))
	h, err := readHeader(in)
	if err != nil {
		t.Fatal(err)
	}
	visited := 0
	err = walk(&h, in, int64(len(raw)), func(attachment) error { visited++; return nil })
	if !errors.Is(err, errTooManyParts) || visited > 200 {
		t.Errorf("%d attachments, %v", visited, err)
	}
}

func TestVisitError(t *testing.T) {
	t.Parallel()
	in := bufio.NewReader(strings.NewReader(mixed(file("filename=a", "x"), file("filename=b", "y"))))
	h, err := readHeader(in)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	err = walk(&h, in, 1<<20, func(attachment) error { n++; return io.ErrUnexpectedEOF })
	if n != 1 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%d, %v", n, err)
	}
}

func FuzzWalk(f *testing.F) {
	for _, tc := range mailCases {
		f.Add(tc.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		in := bufio.NewReader(strings.NewReader(raw))
		h, err := readHeader(in)
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		err = walk(&h, in, int64(len(raw)), func(a attachment) error {
			n, err := io.Copy(io.Discard, a.body)
			total += int(n)
			if a.name == "" || len(a.name) > 255 || strings.ContainsAny(a.name, "/\x00\r\n") {
				t.Errorf("name %q", a.name)
			}
			return err
		})
		if errors.Is(err, errTooManyParts) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if total > 6*maxSpooled*len(raw) { // each stored part is read at most six times
			t.Errorf("%d bytes out of %d", total, len(raw))
		}
	})
}
