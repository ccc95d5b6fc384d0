package guard_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"backburn/internal/guard"
	"backburn/internal/rootfs"
	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
)

func put(t *testing.T, name, content string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}

	return name
}

func identity(t *testing.T, name string) rootfs.Identity {
	t.Helper()
	st, err := rootfs.StatPath(name)
	if err != nil {
		t.Fatal(err)
	}

	return st.Identity
}

// keyOf returns the key that an error names, or "".
func keyOf(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	own, ok := errors.AsType[*guard.Error](err)
	if !ok || !errors.Is(err, guard.ErrOwn) {
		t.Fatalf("another error: %v", err)
	}

	return own.Key
}

// scanned returns the key of a secret in contents.
func scanned(t *testing.T, g *guard.Guard, content string) string {
	t.Helper()
	s := g.Scan()
	if _, err := io.WriteString(s, content); err != nil {
		t.Fatal(err)
	}

	return keyOf(t, s.Err())
}

const (
	token = "k3-qvvw9zr0d1ftx"   // as short as it may be
	other = "J7l2mWq0eYb5vTn4cR" // in no file
)

func TestContents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, pem := testkit.NewAuthority(t).Certificate()
	keyText, err := os.ReadFile(pem)
	if err != nil {
		t.Fatal(err)
	}

	cert, _ := testkit.NewAuthority(t).Certificate()
	certText, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}

	long := strings.Repeat("eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.", 3) + "the-end-of-a-long-token-that-is-no-other"
	const seed = "SUACH75SWCM5D2JMJM6EKLR2WDARVGZT4QC6LX3AGHSWOMVAKERABBBRWM"
	creds := "-----BEGIN NATS USER JWT-----\n" + long + "\n------END NATS USER JWT------\n\n" +
		"************************* IMPORTANT *************************\nNKEY Seed printed below can be used to sign.\n\n" +
		"-----BEGIN USER NKEY SEED-----\n" + seed + "\n------END USER NKEY SEED------\n" + strings.Repeat("*", 61) + "\n"
	g := guard.New([]guard.Own{
		{Key: "token", Path: put(t, filepath.Join(dir, "token"), "\ufeff"+token+"\r\n"), Holds: guard.Secrets},
		{Key: "value", Value: func() string { return other }},
		{Key: "lines", Path: put(t, filepath.Join(dir, "lines"), "whsec_Zm9vYmFyYmF6\nwhsec_c2Vjb25kLWtleQ\n"), Holds: guard.Secrets},
		{Key: "creds", Path: put(t, filepath.Join(dir, "creds"), creds), Holds: guard.Secrets},
		{Key: "key", Path: put(t, filepath.Join(dir, "key"), string(certText)+string(keyText)), Holds: guard.Secrets},
		{Key: "web", Path: put(t, filepath.Join(dir, "web.yml"), "tls_server_config: {}\nkey: |\n  -----BEGIN PRIVATE KEY-----\n  MC4CAQAwBQYDK2VwBCIEIHF1aXRlLWEtc2VjcmV0\n  -----END PRIVATE KEY-----\n"), Holds: guard.Keys},
		{Key: "headers", Path: put(t, filepath.Join(dir, "headers"), "Accept: application/vnd.kafka.json.v2+json\nX-Api-Key: Splunk 3b1f-7c40-98aa-dd\n"), Holds: guard.Headers},
		{Key: "configuration", Path: put(t, filepath.Join(dir, "f.toml"), "a line of the configuration"), Holds: guard.Nothing},
		{Key: "short", Path: put(t, filepath.Join(dir, "short"), "fifteen-letters"), Holds: guard.Secrets},
		{Key: "none", Path: filepath.Join(dir, "none"), Holds: guard.Secrets},
	})

	for name, tc := range map[string]struct{ content, want string }{
		"itself":                    {token, "token"},
		"with a line break":         {token + "\n", "token"},
		"in text":                   {"password = '" + token + "' # ours", "token"},
		"at the end":                {strings.Repeat("a", 100_000) + token, "token"},
		"of the configuration":      {"x" + other + "x", "value"},
		"second of two lines":       {"whsec_c2Vjb25kLWtleQ", "lines"},
		"seed of NATS":              {"nsc " + seed, "creds"},
		"end of a long token":       {"Bearer " + long, "creds"},
		"private key":               {string(keyText), "key"},
		"a line of a private key":   {strings.Split(string(keyText), "\n")[1], "key"},
		"private key, CRLF":         {strings.ReplaceAll(string(keyText), "\n", "\r\n"), "key"},
		"key in YAML":               {"MC4CAQAwBQYDK2VwBCIEIHF1aXRlLWEtc2VjcmV0", "web"},
		"header":                    {"curl -H 'Authorization: 3b1f-7c40-98aa-dd'", "headers"},
		"one byte less":             {token[:len(token)-1] + "X", ""},
		"begin of a long token":     {long[:100], ""},
		"certificate":               {string(certText), ""},
		"text around credentials":   {strings.Repeat("*", 61) + "NKEY Seed printed below can be used to sign.", ""},
		"header that is no secret":  {"application/vnd.kafka.json.v2+json", ""},
		"YAML around a key":         {"tls_server_config: {}", ""},
		"text of the configuration": {"a line of the configuration", ""},
		"short secret":              {"fifteen-letters", ""},
		"nothing":                   {"", ""},
	} {
		if got := scanned(t, g, tc.content); got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}

	if got := fmt.Sprint(g.Short()); got != "[short]" {
		t.Errorf("too short: %s", got)
	}

	for _, show := range []string{"%v", "%+v", "%#v", "%s", "%d"} {
		if got := fmt.Sprintf(show, g); got != "guard" {
			t.Errorf("%s shows %s", show, got)
		}
	}
}

// A secret is found wherever the reads split the contents, and none of its bytes are returned.
func TestReader(t *testing.T) {
	t.Parallel()
	g := guard.New([]guard.Own{
		{Key: "token", Value: func() string { return token }},
		{Key: "long", Value: func() string { return strings.Repeat(other, 3) }},
	})
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		before := strings.Repeat("k3-qvvw9", rnd.IntN(5000)) + strings.Repeat("b", rnd.IntN(100))
		secret := []string{token, strings.Repeat(other, 3), ""}[rnd.IntN(3)]
		content := before + secret + strings.Repeat("after", rnd.IntN(10))
		var source io.Reader = strings.NewReader(content)
		if len(content) < 3000 {
			source = iotest.OneByteReader(source)
		} else if rnd.IntN(2) == 0 {
			source = iotest.DataErrReader(iotest.HalfReader(source))
		}

		out, err := io.ReadAll(g.Reader(io.NopCloser(source)))

		switch {
		case secret == "" && (err != nil || string(out) != content):
			t.Fatalf("%d bytes of %d, %v", len(out), len(content), err)
		case secret != "" && !errors.Is(err, guard.ErrOwn):
			t.Fatalf("a secret at %d passed: %v", len(before), err)
		case secret != "" && !strings.HasPrefix(before, string(out)):
			t.Fatalf("%d bytes were given out, and the secret begins at %d", len(out), len(before))
		}
	}

	broken := errors.New("broken")
	out, err := io.ReadAll(g.Reader(io.NopCloser(io.MultiReader(strings.NewReader("text"), iotest.ErrReader(broken)))))
	if !errors.Is(err, broken) || !bytes.HasPrefix([]byte("text"), out) {
		t.Errorf("%q, %v", out, err)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, at("secret"), token)
	put(t, at("plain"), token)
	if err := os.Mkdir(at("store"), 0o700); err != nil {
		t.Fatal(err)
	}

	g := guard.New([]guard.Own{
		{Key: "secret", Path: at("secret"), Holds: guard.Secrets},
		{Key: "store", Path: at("store")},
		{Key: "later", Path: at("later"), Holds: guard.Secrets},
	})
	if err := os.Link(at("secret"), at("linked")); err != nil {
		needs.CannotRun(t, "no hard links here: %v", err)
	}

	for name, want := range map[string]string{"secret": "secret", "linked": "secret", "store": "store", "plain": ""} {
		if got := keyOf(t, g.File(identity(t, at(name)))); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	put(t, at("store/block"), "")
	if err := os.Symlink("store/block", at("link")); err != nil {
		needs.CannotRun(t, "no links here: %v", err)
	}

	for name, want := range map[string]string{"secret": "secret", "store/block": "store", "link": "store", "plain": "", "nothing": ""} {
		if got := keyOf(t, g.Path(at(name))); got != want {
			t.Errorf("the path %s: %q, want %q", name, got, want)
		}
	}
}

// One secret is replaced, and one is moved away. Both are still recognized, and so is the next file
// with that name.
func TestChanges(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	put(t, at("replaced"), token)
	put(t, at("moved"), other)
	g := guard.New([]guard.Own{
		{Key: "replaced", Path: at("replaced"), Holds: guard.Secrets},
		{Key: "moved", Path: at("moved"), Holds: guard.Secrets},
		{Key: "later", Path: at("later"), Holds: guard.Secrets},
	})

	put(t, at("new"), "the-next-of-the-tokens")
	for from, to := range map[string]string{"new": "replaced", "moved": "quarantine"} {
		if err := os.Rename(at(from), at(to)); err != nil {
			t.Fatal(err)
		}
	}

	put(t, at("later"), "a-secret-that-comes-later")
	g.Look()

	for content, want := range map[string]string{
		"the-next-of-the-tokens": "replaced", token: "", other: "moved", "a-secret-that-comes-later": "later",
	} {
		if got := scanned(t, g, content); got != want {
			t.Errorf("%s: %q, want %q", content, got, want)
		}
	}

	for name, want := range map[string]string{"replaced": "replaced", "quarantine": "moved", "later": "later"} {
		if got := keyOf(t, g.File(identity(t, at(name)))); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A nil guard recognizes nothing.
func TestNil(t *testing.T) {
	t.Parallel()
	var g *guard.Guard
	if err := g.File(identity(t, t.TempDir())); err != nil {
		t.Error(err)
	}
	if got := scanned(t, g, token); got != "" {
		t.Error(got)
	}
	out, err := io.ReadAll(g.Reader(io.NopCloser(strings.NewReader(token))))
	if err != nil || string(out) != token {
		t.Errorf("%q, %v", out, err)
	}
}

// A secret in the configuration itself, which a reload has added, is recognized. The one that it
// replaces may still be valid.
func TestAReloadAddsASecret(t *testing.T) {
	t.Parallel()
	secret := func(value string) []guard.Own {
		return []guard.Own{{Key: "auth.key.api_key", Value: func() string { return value }}}
	}
	const before, after = "the-secret-before-it", "the-secret-after-it-"
	g := guard.New(secret(before))
	g.Add(secret(after))

	for _, value := range []string{before, after} {
		scan := g.Scan()
		_, _ = io.WriteString(scan, value)
		if !errors.Is(scan.Err(), guard.ErrOwn) {
			t.Errorf("%q is not recognized", value)
		}
	}
}
