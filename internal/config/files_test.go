package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"backburn/auth"

	"backburn/internal/config"
	"backburn/internal/testkit"
	"backburn/pipeline/watch"
)

// tree makes files and folders (names that end in a slash) below a temporary folder, and
// returns that. A mode follows the name after a space.
func tree(t *testing.T, entries ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, e := range entries {
		path, rest, _ := strings.Cut(e, " ")
		mode := map[string]os.FileMode{"": 0o600, "0644": 0o644, "0666": 0o666, "0000": 0, "0555": 0o555}[rest]
		full := filepath.Join(root, path)
		dir := full
		if !strings.HasSuffix(path, "/") {
			dir = filepath.Dir(full)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}

		if !strings.HasSuffix(path, "/") {
			if err := os.WriteFile(full, []byte("x\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(full, mode); err != nil {
				t.Fatal(err)
			}
		}
	}

	return root
}

// write writes a file that only its owner may read.
func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyTo(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(text))
}

func TestCheckFiles(t *testing.T) {
	t.Parallel()
	root := tree(t, "q/", "p/", "spooled/.backburn", "plain", "open 0644", "wide 0666", "store/nats/", "store/nats.token", "roots/a/")
	for name, text := range map[string]string{
		"blank":       "\n",
		"short":       "fifteen letters\n",
		"long":        "exactly-sixteen!\n",
		"nothing.yml": "",
		"strange.yml": "no_such_key: 1\n",
		"users.yml":   "basic_auth_users: {admin: $2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi}\n",
		"tls.yml":     "tls_server_config: {cert_file: tls.pem, key_file: tls.key}\n",
	} {
		write(t, filepath.Join(root, name), text)
	}

	cert, key := testkit.NewAuthority(t).Certificate()
	copyTo(t, cert, filepath.Join(root, "tls.pem"))
	copyTo(t, key, filepath.Join(root, "tls.key"))
	if err := os.Chmod(filepath.Join(root, "tls.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "q"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}

	if err := os.Symlink(filepath.Join(root, "nowhere"), filepath.Join(root, "dangling")); err != nil {
		t.Fatal(err)
	}

	for name, tc := range map[string]struct {
		text  string
		parts config.Part
		want  []string // what each problem begins with, and holds after a "…"
		modes bool     // needs permissions as Unix has them
	}{
		"everything there": {
			"[[watch]]\npath='@/q'\nafter.failed='@/new/folder'\n[nats]\ntoken_file='@/store/nats.token'\nembedded.store_dir='@/store/nats'\n[worker.roots]\na='@/roots/a'\n",
			config.Everything &^ config.ProfilePart, nil, false,
		},
		"no folder":        {"[[watch]]\npath='@/none'\n", config.WatcherPart, []string{`f.toml:2:1: watch[0].path: there is no folder "@/none"; create it`}, false},
		"folder is a file": {"[[watch]]\npath='@/plain'\n", config.WatcherPart, []string{`f.toml:2:1: watch[0].path: expected a folder; "@/plain" is not one`}, false},
		"one folder under two names": {
			"[[watch]]\npath='@/q'\n[[watch]]\npath='@/link'\n", config.WatcherPart,
			[]string{`f.toml:4:1: watch[1].path: is the folder of watch[0], "@/q": files would be claimed twice`},
			false,
		},
		"after is a file": {
			"[[watch]]\npath='@/q'\nafter.benign='@/plain'\n", config.WatcherPart,
			[]string{`f.toml:3:7: watch[0].after.benign: expected a folder; "@/plain" is not one`},
			false,
		},
		"state below a file": {
			"[[watch]]\npath='@/q'\nclaim='keep'\nstate_dir='@/plain'\n", config.WatcherPart,
			[]string{`f.toml:4:1: watch[0].state_dir: expected a folder; "@/plain" is not one`},
			false,
		},
		"none of the things that it is for": {
			"", config.APIPart | config.ClamdPart | config.MailPart | config.SinkPart | config.Alone,
			[]string{"f.toml: api.listen: expected", "f.toml: sink: expected at least one", "f.toml: clamd.listen: expected", "f.toml: mail.listen: expected"},
			false,
		},
		"not the worker's": {"[[watch]]\npath='@/none'\n", config.WorkerPart, nil, false},
		"not the watcher's": {
			"[worker.roots]\na='@/none'\n[auth.wildfire]\nclient_secret_file='@/none'\n[wildfire]\nca_file='@/none'\n[[watch]]\npath='@/q'\n",
			config.WatcherPart, nil, false,
		},
		"the worker's": {
			"[worker.roots]\na='@/no-root'\n[auth.wildfire]\nclient_secret_file='@/none'\n[wildfire]\nca_file='@/none'\n",
			config.WorkerPart,
			[]string{
				`f.toml:2:1: worker.roots.a: there is no folder "@/no-root"`,
				`f.toml:4:1: auth.wildfire.client_secret_file: secret file: open @/none: no such file`,
				`f.toml:6:1: wildfire.ca_file: "@/none": `,
			},
			false,
		},
		"only the profile in use":   {"[auth.other]\nkind='api-key'\napi_key_file='@/none'\n", config.WorkerPart, nil, false},
		"store is a file":           {"[nats.embedded]\nstore_dir='@/plain'\n", config.ServerPart, []string{`f.toml:2:1: nats.embedded.store_dir: expected a folder`}, false},
		"API's token is open":       {"[api]\nlisten='127.0.0.1:0'\n[[api.token]]\nfile='@/open'\n", config.APIPart, []string{`f.toml:4:1: api.token[0].file: secret file @/open: has mode 0644: others may read it`}, true},
		"no API, no files":          {"[[api.token]]\nfile='@/open'\n", config.APIPart, nil, false},
		"sink without its key":      {"[[sink]]\nname='a'\nkind='webhook'\nurl='https://a'\nsecret_file='@/none'\ndead_file='@/a/b/dead'\n", config.SinkPart, []string{`f.toml:5:1: sink[0].secret_file: `}, false},
		"sink with a weak key":      {"[[sink]]\nname='a'\nkind='webhook'\nurl='https://a'\nsecret_file='@/plain'\ndead_file='@/dead'\n", config.SinkPart, []string{`f.toml:5:1: sink[0].secret_file: key 1: expected "whsec_"`}, false},
		"sink's headers":            {"[[sink]]\nname='a'\nkind='webhook'\nurl='https://a'\nheaders_file='@/plain'\ndead_file='@/dead'\n", config.SinkPart, []string{`f.toml:5:1: sink[0].headers_file: line 1: expected "Name: value"`}, false},
		"sink below a file":         {"[[sink]]\nname='a'\nkind='file'\npath='@/open/events'\n", config.SinkPart, []string{`f.toml:4:1: sink[0].path: expected a folder`}, false},
		"sink is a folder":          {"[[sink]]\nname='a'\nkind='file'\npath='@/q'\n", config.SinkPart, []string{`f.toml:4:1: sink[0].path: @/q is not a regular file`}, false},
		"sink is a dead link":       {"[[sink]]\nname='a'\nkind='file'\npath='@/dangling'\n", config.SinkPart, []string{`f.toml:4:1: sink[0].path: @/dangling is a link to a file that does not exist`}, false},
		"sink's dead file, a link":  {"[[sink]]\nname='a'\nkind='webhook'\nurl='https://a'\ndead_file='@/dangling'\n", config.SinkPart, []string{`f.toml:5:1: sink[0].dead_file: @/dangling is a link to a file`}, false},
		"store is a dead link":      {"[nats.embedded]\nstore_dir='@/dangling/a'\n", config.ServerPart, []string{`f.toml:2:1: nats.embedded.store_dir: "@/dangling" is a link to a folder that does not exist`}, false},
		"after is a dead link":      {"[[watch]]\npath='@/q'\nafter.benign='@/dangling'\n", config.WatcherPart, []string{`f.toml:3:7: watch[0].after.benign: "@/dangling" is a link to a folder`}, false},
		"spool is a file":           {"[[watch]]\npath='@/spooled'\n", config.WatcherPart, []string{`f.toml:2:1: watch[0].path: its .backburn is not a folder; remove it`}, false},
		"listeners of one process":  {"[http]\nlisten='127.0.0.1:9'\n[clamd]\nlisten='localhost:9'\n", config.ClamdPart, []string{`f.toml:4:1: clamd.listen: expected another address than that of http.listen, "127.0.0.1:9"`}, false},
		"listeners of two":          {"[http]\nlisten='127.0.0.1:9'\n[clamd]\nlisten='localhost:9'\n", config.MailPart, nil, false},
		"all addresses":             {"[http]\nlisten=':9'\n[mail]\nlisten='127.0.0.1:9'\n", config.MailPart, []string{`f.toml:4:1: mail.listen: expected another address`}, false},
		"server's address":          {"[nats]\nurl='nats://127.0.0.1:9'\n[http]\nlisten='0.0.0.0:9'\n", config.ServerPart, []string{`f.toml:4:1: http.listen: expected another address than that of nats.url`}, false},
		"other addresses":           {"[http]\nlisten='192.0.2.1:9'\n[mail]\nlisten='127.0.0.1:9'\n[clamd]\nlisten='[::1]:9'\n", config.MailPart | config.ClamdPart, nil, false},
		"any free port":             {"[http]\nlisten='127.0.0.1:0'\n[mail]\nlisten='127.0.0.1:0'\n", config.MailPart, nil, false},
		"one socket":                {"[clamd]\nlisten='unix:@/s'\n[mail]\nlisten='unix:@/./s'\n", config.MailPart | config.ClamdPart, []string{`f.toml:4:1: mail.listen: expected another address than that of clamd.listen`}, false},
		"store is to be made":       {"[nats.embedded]\nstore_dir='@/a/b/c'\n", config.ServerPart, nil, false},
		"secret is empty":           {"[api]\nlisten='127.0.0.1:0'\n[[api.token]]\nfile='@/blank'\n", config.APIPart, []string{`f.toml:4:1: api.token[0].file: secret file @/blank: is empty`}, false},
		"key is not our format":     {"[nats]\ncredentials_file='@/blank'\n", config.SinkPart, nil, false},
		"not the server's user":     {"[nats]\nuser='bob'\npassword_file='@/plain'\n", config.ServerPart, []string{`f.toml:2:1: nats.user: the embedded server accepts only its own token`}, false},
		"not the server's token":    {"[nats]\ntoken_file='@/plain'\n", config.ServerPart, []string{`f.toml:2:1: nats.token_file: the embedded server accepts only its own token`}, false},
		"another server's user":     {"[nats]\nuser='bob'\npassword_file='@/plain'\nembedded.enabled=false\n", config.ServerPart, nil, false},
		"secret is a folder":        {"[nats]\ntoken_file='@/q'\n", config.ServerPart, []string{`f.toml:2:1: nats.token_file: secret file @/q: is not a regular file`}, false},
		"secret others read":        {"[nats]\ncredentials_file='@/open'\n", config.ServerPart, []string{`f.toml:2:1: nats.credentials_file: secret file @/open: has mode 0644: others may read it: chmod 600`}, true},
		"secret others write":       {"[nats]\ncredentials_file='@/wide'\n", config.ServerPart, []string{`f.toml:2:1: nats.credentials_file: secret file @/wide: has mode 0666: it is world-writable`}, true},
		"API's token is short":      {"[api]\nlisten='127.0.0.1:0'\n[[api.token]]\nfile='@/short'\n", config.APIPart, []string{`f.toml:4:1: api.token[0].file: "@/short" has a token of 15 characters; expected at least 16`}, false},
		"API's tokens are one":      {"[api]\nlisten='127.0.0.1:0'\n[[api.token]]\nfile='@/long'\n[[api.token]]\nfile='@/long'\n", config.APIPart, []string{`f.toml:6:1: api.token[1].file: "@/long" holds the same token as that of api.token[0]`}, false},
		"API with passwords":        {"[api]\nlisten='127.0.0.1:0'\nweb_config_file='@/users.yml'\n[[api.token]]\nfile='@/long'\n", config.APIPart, []string{`f.toml:3:1: api.web_config_file: "@/users.yml" has basic_auth_users`}, false},
		"API without TLS":           {"[api]\nlisten='0.0.0.0:0'\nweb_config_file='@/nothing.yml'\n[[api.token]]\nfile='@/long'\n", config.APIPart, []string{`f.toml:3:1: api.web_config_file: "@/nothing.yml" has no tls_server_config`}, false},
		"API without any file":      {"[api]\nlisten='0.0.0.0:0'\n[[api.token]]\nfile='@/long'\n", config.APIPart, []string{`f.toml:2:1: api.listen: expected api.web_config_file with TLS as well`}, false},
		"folder without a path":     {"[[watch]]\nsource='a'\n", config.WatcherPart, []string{`f.toml:1:3: watch[0].path: expected the folder to watch`}, false},
		"web configuration is none": {"[http]\nweb_config_file='@/strange.yml'\n", config.ServerPart, []string{`f.toml:2:1: http.web_config_file: web configuration file @/strange.yml: `}, false},
		"dashboard with passwords":  {"[http]\nweb_config_file='@/users.yml'\n", config.ServerPart, nil, false},
		"listener's key is open":    {"[http]\nweb_config_file='@/tls.yml'\n", config.ServerPart, []string{`f.toml:2:1: http.web_config_file: secret file @/tls.key: has mode 0644: others may read it`}, true},
		"certificate is none": {
			"[nats.tls]\ncert_file='@/open'\nkey_file='@/plain'\n", config.ServerPart,
			[]string{`f.toml:2:1: nats.tls.cert_file: expected a certificate and its key`},
			false,
		},
		"authorities are none": {
			"[nats.tls]\nca_file='@/plain'\n", config.ServerPart,
			[]string{`f.toml:2:1: nats.tls.ca_file: expected PEM certificates; "@/plain" has none`},
			false,
		},
		"key is open": {
			"[nats.tls]\ncert_file='@/open'\nkey_file='@/open'\n", config.SinkPart,
			[]string{`f.toml:3:1: nats.tls.key_file: secret file @/open: has mode 0644: others may read it`},
			true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tc.modes && runtime.GOOS == "windows" {
				t.Skip("permissions are access control lists here, which are not read")
			}

			at := filepath.ToSlash(root)
			cfg, err := config.Decode([]byte(strings.ReplaceAll(tc.text, "@", at)), "f.toml", nil)
			if err != nil {
				t.Fatal(err)
			}

			err = cfg.Validate(tc.parts)
			problems, _ := errors.AsType[config.Problems](err)
			if len(problems) != len(tc.want) {
				t.Fatalf("got %d problems, want %d:\n%v", len(problems), len(tc.want), err)
			}

			for i, p := range problems {
				if want := strings.ReplaceAll(tc.want[i], "@", at); !strings.HasPrefix(p.String(), want) {
					t.Errorf("got  %s\nwant %s", p, want)
				}
			}
		})
	}
}

func TestFoldersWithoutPermission(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("permissions are access control lists here, which are not read")
	}

	root := tree(t, "q/", "state/")
	q := filepath.Join(root, "q")
	makeReadOnly(t, q)

	cfg := config.Default()
	cfg.Watch[0].Path = q
	if err := cfg.Validate(config.WatcherPart); err == nil || !strings.Contains(err.Error(), "cannot be read and written") {
		t.Errorf("a folder that cannot be written to: %v", err)
	}

	cfg.Watch[0].Claim = watch.ClaimKeep
	cfg.Watch[0].StateDir = filepath.Join(root, "state")
	if err := cfg.Validate(config.WatcherPart); err != nil {
		t.Errorf("files that stay need no more than reading: %v", err)
	}
}

func TestCheckProfile(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"wildfire":                 {"[auth.x]\nkind='wildfire'\n", []string{"client_id", "client_secret_file", "tsg_id"}},
		"wildfire with a variable": {"[auth.x]\nkind='wildfire'\nclient_id='i'\nclient_secret='${S}'\ntsg_id='1'\n", nil},
		"wildfire with a file":     {"[auth.x]\nkind='wildfire'\nclient_id='i'\nclient_secret_file='f'\ntsg_id='1'\n", nil},
		"data-security":            {"[auth.x]\nkind='data-security'\n", []string{"client_id", "client_secret_file"}},
		"watchguard":               {"[auth.x]\nkind='watchguard'\nclient_id='i'\n", []string{"client_secret_file", "api_key_file"}},
		"cortex":                   {"[auth.x]\nkind='cortex'\nclient_id='i'\nclient_secret_file='f'\n", []string{"scope", "redirect_url", "grant_file"}},
		"a number that is none":    {"[auth.x]\nkind='wildfire'\nclient_id='i'\nclient_secret_file='f'\ntsg_id='12a'\n", []string{"tsg_id"}},
		"a region that is none":    {"[auth.x]\nkind='data-security'\nclient_id='i'\nclient_secret_file='f'\nregion='moon'\n", []string{"region"}},
		"an id that basic-raw cannot carry": {
			"[auth.x]\nkind='data-security'\nclient_id='a:b'\nclient_secret_file='f'\n", []string{"client_id"},
		},
		"api-key": {"[auth.x]\nkind='api-key'\n", []string{"api_key_file"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, err := config.Decode([]byte(tc.text), "f.toml", env("S", "s"))
			if err != nil {
				t.Fatal(err)
			}

			err = cfg.CheckProfile("x")
			problems, _ := errors.AsType[config.Problems](err)
			if len(problems) != len(tc.want) {
				t.Fatalf("got %v, want %v", err, tc.want)
			}

			for i, p := range problems {
				if p.Key != "auth.x."+tc.want[i] {
					t.Errorf("got %s, want %s", p.Key, tc.want[i])
				}
			}
		})
	}

	if err := config.Default().CheckProfile("none"); err == nil {
		t.Error("a profile that is not there is complete")
	}
}

func TestDefaultShare(t *testing.T) {
	t.Parallel()
	cfg := parse(t, "[auth.a]\nkind='cortex'\n[auth.b]\nkind='cortex'\nshare='off'\n[auth.c]\nkind='api-key'\n[auth.d]\nkind='watchguard'\n")
	for profile, want := range map[string]auth.Share{"a": "required", "b": "off", "c": "", "d": "prefer"} {
		if got := cfg.Auth[profile].Share; got != want {
			t.Errorf("%s: share %q, want %q", profile, got, want)
		}
	}
}
