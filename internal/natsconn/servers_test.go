package natsconn_test

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/rs/zerolog"

	"backburn/internal/natsconn"
	"backburn/internal/testkit"
)

// seed returns an NKey of a user.
func seed(t *testing.T) (public, text string) {
	t.Helper()
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err = key.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	secret, err := key.Seed()
	if err != nil {
		t.Fatal(err)
	}

	return public, string(secret)
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	public, text := seed(t)
	_, stranger := seed(t)
	users := testkit.StartNATS(t, &server.Options{
		Users: []*server.User{{Username: "mail", Password: "p w"}},
		Nkeys: []*server.NkeyUser{{Nkey: public}},
	})
	operator := testkit.NewOperator(t)
	account := operator.NewAccount()
	account.Issue(nil)
	jwts := testkit.StartNATS(t, operator.Options())

	for name, tc := range map[string]struct {
		url  string
		cfg  natsconn.Config
		says string // "": it connects
	}{
		"user and password": {users.ClientURL(), natsconn.Config{User: "mail", PasswordFile: file(t, "p w\n", 0o600)}, ""},
		"NKey":              {users.ClientURL(), natsconn.Config{NKeyFile: file(t, text+"\n", 0o600)}, ""},
		"credentials":       {jwts.ClientURL(), natsconn.Config{CredentialsFile: account.User(nil)}, ""},

		"wrong password": {users.ClientURL(), natsconn.Config{User: "mail", PasswordFile: file(t, "wrong", 0o600)}, "check nats.user and nats.password_file"},
		"wrong user":     {users.ClientURL(), natsconn.Config{User: "web", PasswordFile: file(t, "p w", 0o600)}, "check nats.user and nats.password_file"},
		"another NKey":   {users.ClientURL(), natsconn.Config{NKeyFile: file(t, stranger, 0o600)}, "check nats.nkey_file"},
		"none":           {users.ClientURL(), natsconn.Config{}, "set nats.credentials_file, nats.nkey_file, nats.user or nats.token_file"},
		"expired": {jwts.ClientURL(), natsconn.Config{CredentialsFile: account.User(func(c *jwt.UserClaims) {
			c.Expires = time.Now().Add(-time.Hour).Unix()
		})}, "check nats.credentials_file: it may be expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.cfg.URL = tc.url
			nc, err := natsconn.Connect(t.Context(), tc.cfg, "test", zerolog.Nop())
			if err == nil {
				nc.Close()
			}
			if tc.says == "" && err != nil {
				t.Error(err)
			}
			if tc.says != "" && (!errors.Is(err, natsconn.ErrRefused) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%v: want %v and %q", err, natsconn.ErrRefused, tc.says)
			}
		})
	}

	for name, tc := range map[string]struct {
		cfg  natsconn.Config
		says string
	}{
		"no password file":    {natsconn.Config{User: "mail", PasswordFile: "/nonexistent"}, "nats.password_file"},
		"open password file":  {natsconn.Config{User: "mail", PasswordFile: file(t, "p w", 0o644)}, "chmod 600"},
		"no seed file":        {natsconn.Config{NKeyFile: "/nonexistent"}, "nats.nkey_file"},
		"open seed file":      {natsconn.Config{NKeyFile: file(t, text, 0o644)}, "chmod 600"},
		"no seed in the file": {natsconn.Config{NKeyFile: file(t, "SU not a seed", 0o600)}, "begins with SU"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.cfg.URL = users.ClientURL()
			_, err := natsconn.Connect(t.Context(), tc.cfg, "test", zerolog.Nop())
			if err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v: want %q", err, tc.says)
			}
			if err != nil && (strings.Contains(err.Error(), "p w") || strings.Contains(err.Error(), text)) {
				t.Errorf("the secret is in %v", err)
			}
		})
	}
}

// TestPasswordIsReadAgain changes the password on both sides while the connection is lost.
func TestPasswordIsReadAgain(t *testing.T) {
	t.Parallel()
	with := func(password string, port int) *server.Server {
		return testkit.StartNATS(t, &server.Options{Port: port, Users: []*server.User{{Username: "u", Password: password}}})
	}
	first := with("old", 0)
	password := file(t, "old\n", 0o600)
	cfg := natsconn.Config{URL: first.ClientURL(), User: "u", PasswordFile: password}
	nc, err := natsconn.Connect(t.Context(), cfg, "test", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()

	if err := os.WriteFile(password, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	_, port, _ := strings.Cut(strings.TrimPrefix(first.ClientURL(), "nats://"), ":")
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}

	connected := nc.StatusChanged(nats.CONNECTED)
	testkit.StopNATS(first)
	with("new", n)
	<-connected
	if err := natsconn.Health(nc)(); err != nil {
		t.Error(err)
	}
}

func TestOtherConditions(t *testing.T) {
	t.Parallel()
	operator := testkit.NewOperator(t)
	account := operator.NewAccount()
	account.Issue(nil)
	jwts := testkit.StartNATS(t, operator.Options())
	large := account.User(func(c *jwt.UserClaims) {
		for i := range 200 {
			c.Pub.Allow.Add("some.long.subject.that.nobody.needs." + strconv.Itoa(i))
		}
	})

	authority, stranger := testkit.NewAuthority(t), testkit.NewAuthority(t)
	cert, key := authority.Certificate()
	plain := testkit.StartNATS(t, &server.Options{})
	secure := testkit.StartNATS(t, &server.Options{TLS: true, TLSConfig: authority.ServerTLS(false), TLSTimeout: 10})
	mutual := testkit.StartNATS(t, &server.Options{TLS: true, TLSVerify: true, TLSConfig: authority.ServerTLS(true), TLSTimeout: 10})
	named := strings.Replace(secure.ClientURL(), "127.0.0.1", "localhost", 1)
	busy := testkit.StartNATS(t, &server.Options{MaxConn: 1})
	taken, err := nats.Connect(busy.ClientURL())
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(taken.Close)

	for name, tc := range map[string]struct {
		cfg  natsconn.Config
		is   error // nil: it connects
		says string
	}{
		"TLS":          {natsconn.Config{URL: secure.ClientURL(), TLS: natsconn.TLS{CAFile: authority.File}}, nil, ""},
		"mTLS":         {natsconn.Config{URL: mutual.ClientURL(), TLS: natsconn.TLS{CAFile: authority.File, CertFile: cert, KeyFile: key}}, nil, ""},
		"large JWT":    {natsconn.Config{URL: jwts.ClientURL(), CredentialsFile: large}, natsconn.ErrOversized, "max_control_line"},
		"no authority": {natsconn.Config{URL: secure.ClientURL()}, natsconn.ErrTLS, "set nats.tls.ca_file"},
		"other authority": {
			natsconn.Config{URL: secure.ClientURL(), TLS: natsconn.TLS{CAFile: stranger.File}}, natsconn.ErrTLS, "set nats.tls.ca_file",
		},
		"other name": {
			natsconn.Config{URL: named, TLS: natsconn.TLS{CAFile: authority.File}}, natsconn.ErrTLS, "a name in nats.url",
		},
		"no certificate": {
			natsconn.Config{URL: mutual.ClientURL(), TLS: natsconn.TLS{CAFile: authority.File}}, natsconn.ErrTLS, "nats.tls.cert_file",
		},
		"server without TLS": {
			natsconn.Config{URL: plain.ClientURL(), TLS: natsconn.TLS{CAFile: authority.File}}, natsconn.ErrTLS, "does not support TLS",
		},
		"too many connections": {natsconn.Config{URL: busy.ClientURL()}, natsconn.ErrClosed, "max_connections"},
		"nobody there":         {natsconn.Config{URL: unused(t)}, natsconn.ErrUnreachable, "set nats.url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nc, err := natsconn.Connect(t.Context(), tc.cfg, "test", zerolog.Nop())
			if err == nil {
				nc.Close()
			}
			if !errors.Is(err, tc.is) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v: want %v and %q", err, tc.is, tc.says)
			}
		})
	}
}

func TestSecretInTheClearIsWarnedOf(t *testing.T) {
	t.Parallel()
	secret := file(t, "s3cret-value", 0o600)
	for name, tc := range map[string]struct {
		cfg  natsconn.Config
		want string // the key in the warning
	}{
		"token":             {natsconn.Config{URL: "nats://192.0.2.1:1", TokenFile: secret}, "nats.token_file"},
		"password":          {natsconn.Config{URL: "nats://192.0.2.1:1", User: "u", PasswordFile: secret}, "nats.password_file"},
		"by websocket":      {natsconn.Config{URL: "ws://192.0.2.1:1", TokenFile: secret}, "nats.token_file"},
		"one of a cluster":  {natsconn.Config{URL: "tls://192.0.2.1:1,nats://192.0.2.2:1", TokenFile: secret}, "nats.token_file"},
		"on this machine":   {natsconn.Config{URL: "nats://127.0.0.1:1", TokenFile: secret}, ""},
		"by TLS":            {natsconn.Config{URL: "tls://192.0.2.1:1", TokenFile: secret}, ""},
		"TLS is demanded":   {natsconn.Config{URL: "nats://192.0.2.1:1", TokenFile: secret, TLS: natsconn.TLS{CAFile: secret}}, ""},
		"nothing to reveal": {natsconn.Config{URL: "nats://192.0.2.1:1"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			natsconn.WarnUnencrypted(tc.cfg, zerolog.New(&log))
			if got := log.String(); strings.Contains(got, "s3cret") || (got != "") != (tc.want != "") || !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
