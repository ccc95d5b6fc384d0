package config_test

import (
	"strings"
	"testing"

	"backburn/internal/config"
)

// Keys with any characters are shown so that they can be read back.
func TestShowOddKeys(t *testing.T) {
	t.Parallel()
	text := "[[policy]]\nname = \"a\"\nsubmit = \"never\"\nmetadata = { \"bell\\u0007, \\\"quotes\\\", \\\\ and a.dot\" = \"x\" }\n"
	cfg, err := config.Decode([]byte(text), "b.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	if err := cfg.Show(&shown); err != nil {
		t.Fatal(err)
	}

	again, err := config.Decode([]byte(shown.String()), "shown.toml", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cfg.Changes(again) {
		t.Errorf("%s differs", c.Key)
	}
}
