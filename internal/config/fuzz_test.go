package config_test

import (
	"bytes"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"backburn/internal/config"
)

// FuzzDecode holds that no text makes Decode panic, that whatever is wrong comes as Problems
// with a place, and that what is fine is shown as a configuration of the same meaning.
func FuzzDecode(f *testing.F) {
	example, err := os.ReadFile("../../config.example.toml")
	if err != nil {
		f.Fatal(err)
	}

	f.Add(example)
	for _, text := range []string{
		"", "\n", "[nats]\nurl='${A}$$$'", "[[watch]]\npath=\"q\\u0000\"\n[[watch]]\nafter.failed='./x'", "watch=[{path='a'},{path='b',after={benign='delete'}}]",
		"[auth.x]\nkind='api-key'", "a.b.c=1\n[a.d]\n", "[worker.roots]\n\"\"=1", "[worker]\nrate=1e400", "x=[[[[{a=[1]}]]]]", "\xff", "[[a]]\n[[a.b]]\n[a.b.c]\n[[a]]\n[[a.b]]\n",
	} {
		f.Add([]byte(text))
	}

	f.Fuzz(func(t *testing.T, text []byte) {
		cfg, err := decode(text, "f.toml", env("A", "value-of-a-variable"))
		if err != nil {
			problems, ok := errors.AsType[config.Problems](err)
			if !ok || len(problems) == 0 {
				t.Fatalf("%T: %v", err, err)
			}

			for _, p := range problems {
				if p.Line < 1 || p.Column < 1 || p.Message == "" {
					t.Errorf("a problem without a place: %+v", p)
				}
			}

			if bytes.Contains([]byte(err.Error()), []byte("value-of-a-variable")) && !bytes.Contains(text, []byte("value-of-a-variable")) {
				t.Errorf("the value of a variable shows: %v", err)
			}

			return
		}

		for _, profile := range cfg.Auth {
			if profile.ClientSecret.IsSet() {
				return // not shown, so not read back
			}
		}

		var shown bytes.Buffer
		if err := cfg.Show(&shown); err != nil {
			t.Fatal(err)
		}

		again, err := decode(shown.Bytes(), "shown.toml", env())
		if err != nil {
			t.Fatalf("%v\n%s", err, shown.String())
		}
		if d := cmp.Diff(cfg, again, same); d != "" {
			t.Errorf("%s\n%s", d, shown.String())
		}
	})
}
