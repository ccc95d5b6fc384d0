package config_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"backburn/internal/config"
	"backburn/internal/guard"
	"backburn/internal/testkit"
)

// Each text has a watched folder, or a root of a source, that overlaps with something of
// Backburn's own. "@" stands for a folder with q, q/in, other, key, and links to them.
func TestNothingOfOursIsWatched(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("links need a privilege here")
	}

	root := tree(t, "q/in/", "q/key", "other/", "key", "linked/", "spool/")
	for name, target := range map[string]string{
		"to-q": "q", "to-in": "q/in", "to-nothing": "q/new", "to-root": ".", "linked/.backburn": "../other/spool",
	} {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}

	cert, key := testkit.NewAuthority(t).Certificate()
	copyTo(t, cert, filepath.Join(root, "cert.pem"))
	copyTo(t, key, filepath.Join(root, "q", "key.pem"))
	write(t, filepath.Join(root, "web.yml"), "tls_server_config: {cert_file: cert.pem, key_file: q/key.pem}\n")
	const q = "[[watch]]\npath='@/q'\n"

	for name, tc := range map[string]struct{ text, want string }{
		"configuration":          {"[[watch]]\npath='@'\n", `2:1: watch[0].path: contains "@/f.toml" (--config)`},
		"configuration by link":  {"[[watch]]\npath='@/to-root'\n", `2:1: watch[0].path: contains "@/f.toml" (--config)`},
		"store":                  {q + "[nats]\nembedded.store_dir='@/q/in/nats'\n", `2:1: watch[0].path: contains "@/q/in/nats.token"`},
		"in the store":           {"[[watch]]\npath='@/q/in'\n[nats]\nembedded.store_dir='@/q'\n", `2:1: watch[0].path: is inside "@/q" (nats.embedded.store_dir)`},
		"token of the store":     {q + "[nats]\nembedded.store_dir='@/to-q/'\n", `2:1: watch[0].path: is "@/to-q/" (nats.embedded.store_dir)`},
		"NATS token":             {q + "[nats]\ntoken_file='@/q/key'\n", `(nats.token_file)`},
		"NATS token by link":     {q + "[nats]\ntoken_file='@/to-q/key'\n", `(nats.token_file)`},
		"NATS credentials":       {q + "[nats]\ncredentials_file='@/q/key'\n", `(nats.credentials_file)`},
		"NATS key":               {q + "[nats.tls]\nkey_file='@/q/key'\ncert_file='@/key'\n", `(nats.tls.key_file)`},
		"client secret":          {q + "[auth.wildfire]\nclient_secret_file='@/q/key'\n", `(auth.wildfire.client_secret_file)`},
		"secret of another":      {q + "[auth.other]\nkind='api-key'\napi_key_file='@/q/key'\n", `(auth.other.api_key_file)`},
		"cache key":              {q + "[auth.wildfire]\ncache_key_file='@/q/key'\n", `(auth.wildfire.cache_key_file)`},
		"grant to come":          {q + "[auth.c]\nkind='cortex'\ngrant_file='@/q/new/grant'\n", `(auth.c.grant_file)`},
		"API's token":            {q + "[[api.token]]\nfile='@/q/key'\n", `(api.token[0].file)`},
		"web configuration":      {q + "[http]\nweb_config_file='@/q/web'\n", `(http.web_config_file)`},
		"key of a listener":      {q + "[api]\nweb_config_file='@/web.yml'\n", `(api.web_config_file)`},
		"sink's file":            {q + "[[sink]]\nname='a'\nkind='file'\npath='@/q/events'\n", `(sink[0].path)`},
		"sink's file by link":    {q + "[[sink]]\nname='a'\nkind='file'\npath='@/to-nothing'\n", `(sink[0].path)`},
		"sink's dead letters":    {q + "[[sink]]\nname='a'\nkind='webhook'\nurl='https://a'\nsecret_file='@/key'\ndead_file='@/q/dead'\n", `(sink[0].dead_file)`},
		"state":                  {q + "claim='keep'\nstate_dir='@/q/state'\n", `(watch[0].state_dir)`},
		"state of another":       {q + "[[watch]]\npath='@/other'\nclaim='keep'\nstate_dir='@/q/in'\n", `2:1: watch[0].path: contains "@/q/in" (watch[1].state_dir)`},
		"in the state":           {"[[watch]]\npath='@/q/in'\n[[watch]]\npath='@/other'\nclaim='keep'\nstate_dir='@/q'\n", `2:1: watch[0].path: is inside "@/q" (watch[1].state_dir)`},
		"spool of another":       {"[[watch]]\npath='@/other'\n[[watch]]\npath='@/linked'\n", `2:1: watch[0].path: contains "@/linked/.backburn" (watch[1].path)`},
		"after":                  {q + "after.benign='@/q/done'\n", `3:7: watch[0].after.benign: expected a folder that is not inside the watched one`},
		"after by link":          {q + "after.malicious='@/to-in/done'\n", `3:7: watch[0].after.malicious: leads into the watched folder "@/q"`},
		"after by link to come":  {q + "after.failed='@/to-nothing'\n", `3:7: watch[0].after.failed: leads into the watched folder "@/q"`},
		"after of another":       {q + "[[watch]]\npath='@/other'\nafter.failed='@/to-q/'\n", `2:1: watch[0].path: is "@/to-q/" (watch[1].after.failed)`},
		"in its own after":       {q + "after.failed='@/'\n", `2:1: watch[0].path: is inside "@/" (watch[0].after.failed)`},
		"one folder twice":       {q + "[[watch]]\npath='@/q/../q'\nsource='p'\n", "4:1: watch[1].path: is the folder of watch[0]"},
		"folder in a folder":     {q + "[[watch]]\npath='@/q/in'\n", "4:1: watch[1].path: is inside the folder of watch[0]"},
		"folder around a folder": {"[[watch]]\npath='@/to-in'\n[[watch]]\npath='@/q'\n", "4:1: watch[1].path: contains the folder of watch[0]"},
		"root with a secret":     {"watch=[]\n[worker.roots]\na='@/to-root'\n[nats]\ntoken_file='@/key'\n", `3:1: worker.roots.a: contains "@/key" (nats.token_file)`},
		"default folder":         {"[nats]\nembedded.store_dir='quarantine/nats'\n", `2:10: watch[0].path: contains "quarantine/nats" (nats.embedded.store_dir)`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Decode([]byte(strings.ReplaceAll(tc.text, "@", root)), filepath.Join(root, "f.toml"), nil)
			if err != nil {
				t.Fatal(err)
			}

			err = cfg.Validate(config.Everything &^ config.ProfilePart)

			problems, _ := errors.AsType[config.Problems](err)
			if want := strings.ReplaceAll(tc.want, "@", root); !strings.Contains(problems.Error(), want) {
				t.Errorf("got\n%v\nwant %s", err, want)
			}
		})
	}
}

func TestFoldersApart(t *testing.T) {
	t.Parallel()
	root := tree(t, "q/", "q2/", "keep/", "state/", "data/", "data/nats.token")
	text := strings.ReplaceAll(`
[nats]
token_file = '@/data/nats.token'
embedded.store_dir = '@/data/nats'
[[watch]]
path = '@/q'
after.benign = '@/q-done'
[[watch]]
path = '@/q2'
[[watch]]
path = '@/keep'
claim = 'keep'
state_dir = '@/keep/.backburn'
[worker.roots]
other = '@/q'
[[sink]]
name = 'a'
kind = 'file'
path = '@/data/events'
`, "@", filepath.ToSlash(root))
	cfg, err := config.Decode([]byte(text), filepath.Join(root, "f.toml"), nil)
	if err != nil {
		t.Fatal(err)
	}

	if err := cfg.Validate(config.Everything &^ config.ProfilePart); err != nil {
		t.Error(err)
	}
}

// A worker reads the folders that others watch.
func TestNothingOfOursIsReadByAWorker(t *testing.T) {
	t.Parallel()
	root := tree(t, "q/", "q/key")
	text := strings.ReplaceAll("[[watch]]\npath='@/q'\n[nats]\ntoken_file='@/q/key'\n", "@", filepath.ToSlash(root))
	cfg, err := config.Decode([]byte(text), filepath.Join(root, "f.toml"), nil)
	if err != nil {
		t.Fatal(err)
	}

	if err := cfg.Validate(config.WorkerPart); err == nil || !strings.Contains(err.Error(), "(nats.token_file)") {
		t.Errorf("got %v", err)
	}
}

// What the guard is told: files with what they hold, and secrets that are in no file.
func TestGuarded(t *testing.T) {
	t.Parallel()
	root := tree(t, "q/")
	cert, key := testkit.NewAuthority(t).Certificate()
	copyTo(t, cert, filepath.Join(root, "cert.pem"))
	copyTo(t, key, filepath.Join(root, "key.pem"))
	write(t, filepath.Join(root, "web.yml"), "tls_server_config: {cert_file: cert.pem, key_file: key.pem}\n")
	text := strings.ReplaceAll(`
[nats]
token_file = '@/token'
embedded.store_dir = '@/nats'
[[watch]]
path = '@/q'
after.benign = '@/done'
[auth.wildfire]
client_secret = '${SECRET}'
[[sink]]
name = 'a'
kind = 'webhook'
url = 'https://a'
headers_file = '@/headers'
ca_file = '@/ca.pem'
[api]
web_config_file = '@/web.yml'
`, "@", filepath.ToSlash(root))
	cfg, err := config.Decode([]byte(text), filepath.Join(root, "f.toml"), func(string) (string, bool) { return "of the environment", true })
	if err != nil {
		t.Fatal(err)
	}

	got := map[string]guard.Holds{}
	value := ""
	for _, o := range cfg.Guarded() {
		if o.Value != nil {
			value += o.Key + ": " + o.Value()
			continue
		}

		name, err := filepath.Rel(root, o.Path)
		if err != nil {
			t.Fatal(err)
		}

		got[name] = o.Holds
	}

	want := map[string]guard.Holds{
		"f.toml": guard.Nothing, "token": guard.Secrets, "nats": guard.Nothing, "nats.token": guard.Secrets, "headers": guard.Headers,
		"ca.pem": guard.Nothing, "web.yml": guard.Keys, "cert.pem": guard.Keys, "key.pem": guard.Keys,
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if value != "auth.wildfire.client_secret: of the environment" {
		t.Errorf("values %s", value)
	}
}

// A key that names a file or a folder says whether that is Backburn's own.
func TestKeysOfFilesAreMarked(t *testing.T) {
	t.Parallel()
	var look func(at string, typ reflect.Type)
	look = func(at string, typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map || typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct {
			return
		}

		for i := range typ.NumField() {
			f := typ.Field(i)
			key := f.Tag.Get("toml")
			if key != "" {
				look(at+"."+key, f.Type)
			}

			names := strings.HasSuffix(key, "file") || strings.HasSuffix(key, "_dir")
			if names && f.Type.Kind() == reflect.String && f.Tag.Get("own") == "" && key != "done_file" {
				t.Errorf("%s.%s says nothing", at, key)
			}
		}
	}
	look("", reflect.TypeFor[config.Config]())
}
