package config_test

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"backburn/internal/config"
)

var update = flag.Bool("update", false, "write the files that are generated")

// The example and the reference are what the structs say.
func TestGeneratedFiles(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]byte{
		"../../config.example.toml":   config.GeneratedExample(),
		"../../docs/configuration.md": config.GeneratedReference(),
	} {
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what the structs say (%v): run `make config`", file, err)
		}
	}
}
