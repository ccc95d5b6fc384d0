package auth_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"backburn/auth"
)

// TestEachKindIsDescribedCompletely checks that each kind is described completely, and that the
// tags of a profile name the same kinds and keys.
func TestEachKindIsDescribedCompletely(t *testing.T) {
	t.Parallel()
	keys := map[string]bool{}
	for field := range reflect.TypeFor[auth.Profile]().Fields() {
		keys[field.Tag.Get("toml")] = true
		if field.Name == "Kind" {
			if got := strings.Fields(field.Tag.Get("oneof")); !slices.Equal(sorted(got), names(auth.Kinds())) {
				t.Errorf("the tag of Kind lists %v, want %v", got, auth.Kinds())
			}
		}
	}

	for _, kind := range auth.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			for _, key := range kind.Keys() {
				if !keys[key] {
					t.Errorf("key %q is no field of a profile", key)
				}
			}

			for _, key := range kind.Required() {
				if !slices.Contains(kind.Keys(), key) {
					t.Errorf("key %q is required and not among the keys", key)
				}
				if !slices.Contains(auth.KindsWith(key), kind) {
					t.Errorf("KindsWith(%q) misses it", key)
				}
			}

			shares := slices.Contains(kind.Keys(), "share")
			if got := kind.DefaultShare(); (got == "") == shares {
				t.Errorf("the default of share is %q; share is a key: %v", got, shares)
			}
			if p := (auth.Profile{Kind: kind}); p.Shares() != shares {
				t.Errorf("Shares is %v", p.Shares())
			}
			if kind.LogsIn() != (kind == auth.KindCortex) || kind.FormField() != (kind == auth.KindAPIKey) {
				t.Errorf("logs in: %v, form field: %v", kind.LogsIn(), kind.FormField())
			}
		})
	}

	if unknown := auth.Kind("oauth"); unknown.Keys() != nil || unknown.LogsIn() || unknown.FormField() {
		t.Error("an unknown kind has properties")
	}
}

func names(kinds []auth.Kind) []string {
	var out []string
	for _, k := range kinds {
		out = append(out, string(k))
	}
	return out
}

func sorted(in []string) []string {
	slices.Sort(in)
	return in
}

// TestEachProblemHasItsKey checks that each problem has its key, which callers map to a line.
func TestEachProblemHasItsKey(t *testing.T) {
	t.Parallel()
	p := auth.Profile{
		Name:     "x",
		Kind:     auth.KindWatchGuard,
		Region:   "moon",
		TokenURL: "http://example.com",
		Share:    "maybe",
	}
	var got []string
	for _, problem := range p.Problems() {
		got = append(got, problem.Key)
		if problem.Error() != "auth.x."+problem.Key+": "+problem.Message {
			t.Errorf("%v", problem)
		}
	}

	want := []string{"api_key_file", "client_id", "client_secret_file", "region", "share", "token_url"}
	if !slices.Equal(sorted(got), want) {
		t.Errorf("got problems of %v, want %v", got, want)
	}
}
