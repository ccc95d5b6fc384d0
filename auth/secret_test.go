package auth_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"backburn/auth"
)

// TestSecretNeverShows formats, encodes and logs a secret in every kind of value.
func TestSecretNeverShows(t *testing.T) {
	t.Parallel()
	const value = "canary-secret-0b7e"
	secret := auth.NewSecret(value)
	type hidden struct{ secret auth.Secret }
	type shown struct{ Secret auth.Secret }
	shapes := map[string]any{
		"value": secret, "pointer": &secret, "slice": []auth.Secret{secret}, "map": map[string]auth.Secret{"k": secret},
		"exported field": shown{secret}, "unexported field": hidden{secret}, "pointer to struct": &hidden{secret},
		"nested": struct{ In []any }{[]any{shown{secret}, &secret}}, "profile": auth.Profile{Name: "p", ClientSecret: secret},
		"interface": fmt.Stringer(secret), "error": fmt.Errorf("with %v: %w", secret, fmt.Errorf("%+v", hidden{secret})),
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10v", "%T"} {
				fmt.Fprintf(&out, verb+"\n", shape)
			}
			if raw, err := json.Marshal(shape); err == nil {
				out.Write(raw)
			}

			for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
				slog.New(h).Info("x", "key", shape)
			}

			log := zerolog.New(&out)
			log.Info().Interface("key", shape).Any("any", shape).Str("str", fmt.Sprint(shape)).Msg("x")
			log.Info().Fields(map[string]any{"key": shape}).Msg("x")
			noSecret(t, name, out.String(), value)
			noSecret(t, name, strings.ToLower(out.String()), fmt.Sprintf("%x", value))
		})
	}
}

func TestSecret(t *testing.T) {
	t.Parallel()
	a := auth.NewSecret("a")
	b := auth.NewSecret("a")
	none := auth.NewSecret("")
	if a.Reveal() != "a" || !a.IsSet() || !a.Equal(b) || a.Equal(none) || a.String() != "<secret>" {
		t.Errorf("a set secret: %v", a)
	}
	if none.IsSet() || none.Reveal() != "" || none.String() != "<unset>" || !none.Equal(auth.Secret{}) {
		t.Errorf("an unset secret: %v", none)
	}

	var s struct{ S auth.Secret }
	if err := json.Unmarshal([]byte(`{"S":"x"}`), &s); err != nil || s.S.Reveal() != "x" {
		t.Errorf("decoded %q, %v", s.S.Reveal(), err)
	}
	if err := json.Unmarshal([]byte(`{"S":"<secret>"}`), &s); err == nil {
		t.Error("a redacted secret was accepted as a secret")
	}
	if err := json.Unmarshal([]byte(`{"S":"<unset>"}`), &s); err != nil || s.S.IsSet() {
		t.Errorf("decoded %q, %v", s.S.Reveal(), err)
	}
}

func TestReadSecretFile(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, content, want, problem string
		mode                         os.FileMode
		dir                          os.FileMode
	}{
		{name: "as it is", content: "secret", want: "secret"},
		{name: "one line break is cut", content: "secret\n", want: "secret"},
		{name: "of two bytes", content: "secret\r\n", want: "secret"},
		{name: "white space inside is kept", content: "two \t words\n", want: "two \t words"},
		{name: "a blank at the beginning", content: " secret\n", problem: "white space"},
		{name: "a blank at the end", content: "secret \n", problem: "white space"},
		{name: "a tab at the end", content: "secret\t", problem: "white space"},
		{name: "a byte order mark", content: "\xef\xbb\xbfsecret\r\n", want: "secret"},
		{name: "a byte order mark alone", content: "\xef\xbb\xbf\n", problem: "is empty"},
		{name: "UTF-16", content: "\xff\xfes\x00e\x00", problem: "UTF-8"},
		{name: "quotes", content: "\"secret\"\n", problem: "quotes"},
		{name: "single quotes", content: "'secret'", problem: "quotes"},
		{name: "one quote", content: "\"\n", want: "\""},
		{name: "a quote inside", content: "\"a\"b\n", want: "\"a\"b"},
		{name: "two line breaks", content: "secret\n\n", problem: "more than one line"},
		{name: "two lines", content: "a\nb\n", problem: "more than one line"},
		{name: "empty", content: "", problem: "is empty"},
		{name: "a line break alone", content: "\n", problem: "is empty"},
		{name: "NUL", content: "a\x00b", problem: "NUL"},
		{name: "largest", content: strings.Repeat("x", 64<<10), want: strings.Repeat("x", 64<<10)},
		{name: "too large", content: strings.Repeat("x", 64<<10+1), problem: "64 KiB"},
		{name: "read-only", content: "secret", mode: 0o400, want: "secret"},
		{name: "readable by the group", content: "secret", mode: 0o640, problem: "chmod 600"},
		{name: "readable by all", content: "secret", mode: 0o604, problem: "chmod 600"},
		{name: "writable by all", content: "secret", mode: 0o602, problem: "world-writable"},
		{name: "in a folder writable by all", content: "secret", dir: 0o777, problem: "world-writable folder"},
		{name: "in a sticky folder writable by all", content: "secret", dir: 0o777 | os.ModeSticky, want: "secret"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if runtime.GOOS == "windows" && (tt.mode != 0 || tt.dir != 0) {
				t.Skip("there are no permission bits on Windows")
			}

			dir := t.TempDir()
			path := filepath.Join(dir, "secret")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}

			if tt.mode != 0 {
				if err := os.Chmod(path, tt.mode); err != nil {
					t.Fatal(err)
				}
			}

			if tt.dir != 0 {
				if err := os.Chmod(dir, tt.dir); err != nil {
					t.Fatal(err)
				}
			}

			got, err := auth.ReadSecretFile(path)
			if tt.problem != "" {
				if err == nil || !strings.Contains(err.Error(), tt.problem) || !strings.Contains(err.Error(), path) {
					t.Errorf("got %v, want an error that names the file and says %q", err, tt.problem)
				}

				return
			}

			if err != nil || got.Reveal() != tt.want {
				t.Errorf("got %.20q, %v", got.Reveal(), err)
			}
		})
	}
}

// TestMountedSecrets uses the files and modes of Kubernetes and systemd.
func TestMountedSecrets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("neither mounts secrets on Windows")
	}

	dir := t.TempDir()
	write := func(path string, mode os.FileMode, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, path string) {
		t.Helper()
		_ = os.Remove(path)
		if err := os.Symlink(target, path); err != nil {
			t.Fatal(err)
		}
	}
	k8s := filepath.Join(dir, "volume")
	write(filepath.Join(k8s, "..1", "secret"), 0o644, "first")
	link("..1", filepath.Join(k8s, "..data"))
	link("..data/secret", filepath.Join(k8s, "secret"))
	read := func(name, want string) {
		t.Helper()
		got, err := auth.ReadSecretFile(name)
		if err != nil || got.Reveal() != want {
			t.Errorf("%s: %q, %v; want %q", name, got.Reveal(), err, want)
		}
	}
	read(filepath.Join(k8s, "secret"), "first")
	write(filepath.Join(k8s, "..2", "secret"), 0o440, "second") // an update moves the link
	link("..2", filepath.Join(k8s, "..data"))
	read(filepath.Join(k8s, "secret"), "second")

	creds := filepath.Join(dir, "credentials")
	write(filepath.Join(creds, "wildfire"), 0o440, "third")
	t.Setenv("CREDENTIALS_DIRECTORY", creds)
	read("cred:wildfire", "third")
	for _, name := range []string{"cred:", "cred:../credentials/wildfire", "cred:..", "cred:missing"} {
		if _, err := auth.ReadSecretFile(name); err == nil {
			t.Errorf("%s was read", name)
		}
	}

	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if _, err := auth.ReadSecretFile("cred:wildfire"); err == nil || !strings.Contains(err.Error(), "LoadCredential") {
		t.Errorf("without systemd: %v", err)
	}
}
