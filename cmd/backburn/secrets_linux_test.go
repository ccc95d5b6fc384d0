package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-milter"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sys/unix"

	"backburn/internal/testkit"
	"backburn/results"
	"backburn/wildfire"
	"backburn/wildfire/wildfiretest"
)

// Backburn's own secrets are submitted in every possible way: their files by other names, and
// copies of them. Not one byte of them is sent to WildFire or logged. Accepted jobs end as
// withheld, and Backburn's own files stay in the folder.
func TestNoSecretIsUploaded(t *testing.T) {
	t.Parallel()
	const account = "other@1234567890.iam.panserviceaccount.com"
	secrets := map[string]string{"client": "client-0d8e1f7ab2c94e6b", "api": "api-token-5b1c2d3e4f60", "spare": "spare-token-77aa88bb99"}
	s := testkit.NewSite(t, wildfiretest.WithClient(account, secrets["client"], "1234567890"))
	for name, secret := range secrets {
		s.WriteFile(name, secret+"\n")
	}

	for _, dir := range []string{"root", "outside", "quarantine/sub"} {
		if err := os.Mkdir(s.Path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}

	text, err := os.ReadFile(s.Path("backburn.toml"))
	if err != nil {
		t.Fatal(err)
	}

	w := newRecordingProxy(t, strings.TrimPrefix(between(string(text), `wildfire.url = "`, `"`), "http://"))
	s.Configure(testkit.Settings{
		"wildfire.url":                     "http://" + w.listener.Addr().String(),
		"auth.wildfire.client_id":          account,
		"auth.wildfire.client_secret":      nil,
		"auth.wildfire.client_secret_file": "client",
		"api.listen":                       "127.0.0.1:0",
		"clamd.listen":                     "127.0.0.1:0",
		"mail.listen":                      "127.0.0.1:0",
		"worker.roots.root":                "root",
	})
	s.Append("[[api.token]]\nfile = \"api\"\nsource = \"api\"\n[[api.token]]\nfile = \"spare\"\nsource = \"spare\"\n")
	mayMount := unshareMounts(t)

	p := s.Start("backburn", "run")
	js := s.Queue(p)
	token, err := os.ReadFile(s.Path("nats.token"))
	if err != nil {
		t.Fatal(err)
	}

	secrets["nats"] = strings.TrimSpace(string(token))
	send := submitPaths{t: t, p: p, js: js}

	// Its own files stay.
	send.do(os.Rename(s.Path("spare"), s.Path("quarantine/renamed")))
	send.do(os.Link(s.Path("client"), s.Path("quarantine/linked")))
	send.do(os.Symlink(s.Path("client"), s.Path("quarantine/symlinked")))
	left := []string{"renamed", "linked", "symlinked"}
	if mayMount {
		s.WriteFile("quarantine/mounted", "")
		send.do(unix.Mount(s.Path("client"), s.Path("quarantine/mounted"), "", unix.MS_BIND, ""))
		t.Cleanup(func() { _ = unix.Unmount(s.Path("quarantine/mounted"), unix.MNT_DETACH) })
		testkit.Fails(t, s.Start("backburn", "config", "check"), 2, `contains "client" (auth.wildfire.client_secret_file)`)
		left = append(left, "mounted")
	}

	send.do(os.Link(s.Path("client"), s.Path("root/linked")))
	send.reference("root", `{"path":"linked"}`)
	text, err = os.ReadFile(s.Path("backburn.toml"))
	send.do(err)
	s.WriteFile("backburn.toml", strings.Replace(string(text), "nats://127.0.0.1:0", p.NATS(), 1))
	submit := s.Start("backburn", "submit", "api")
	testkit.Fails(t, submit, 3, "")
	if !strings.Contains(submit.Stdout(), "it is Backburn's own (api.token[0].file)") {
		t.Errorf("submit printed %s", submit.Stdout())
	}

	// Copies, and other contents with a secret.
	s.WriteFile("quarantine/copy.bin", secrets["client"]+"\n")
	s.WriteFile("quarantine/text.txt", "[api]\ntoken = '"+secrets["api"]+"' # do not share\n")
	s.WriteFile("quarantine/sub/nats", strings.Repeat("0123456789", 300_000)+secrets["nats"])
	s.WriteFile("quarantine/good.exe", "MZ good")
	s.WriteFile("root/copy", secrets["nats"])
	send.reference("root", `{"path":"copy"}`)
	send.object("object", "PK "+secrets["client"])
	send.raw("raw", "MZ "+secrets["client"])
	send.http(secrets["api"], "MZ "+secrets["spare"])
	send.clamd("MZ " + secrets["client"])
	send.mail("MZ " + secrets["nats"])
	s.WriteFile("outside/copy", "MZ "+secrets["api"])
	testkit.Fails(t, s.Start("backburn", "submit", "--wait", "outside"), 3, "") // it has no verdict

	for source, n := range map[string]int{"quarantine": 4, "root": 2, "object": 1, "raw": 1, "api": 1, "clamd": 1, "mail": 1, "submit": 1} {
		for _, ev := range testkit.FinalsOf(t, js, source, n) {
			switch {
			case ev.Data.Filename == "good.exe" && ev.Data.Verdict == "benign":
			case ev.Type != results.Failed || ev.Data.Error.Reason != results.Withheld:
				t.Errorf("%s of %s ends as %s", ev.Data.Filename, source, ev.Outcome())
			}
		}
	}

	p.Until("/metrics", func(_ int, body string) bool {
		return strings.Contains(body, `backburn_watch_troubled_files{source="quarantine"} 2`) &&
			!strings.Contains(body, `backburn_own_withheld_total{by="file"} 0`)
	})
	for _, name := range left {
		if _, err := os.Lstat(s.Path("quarantine", name)); err != nil {
			t.Errorf("%s did not stay where it was: %v", name, err)
		}
	}

	_, metrics := p.Ask("/metrics")
	_, status := p.Ask("/api/status")
	p.Stop()

	if n := s.WildFire.Count(wildfire.OpSubmitFile); n != 1 || !w.hasSent("MZ good") {
		t.Errorf("%d uploads, want only that of the foreign file: %+v", n, s.WildFire.Calls())
	}

	for name, secret := range secrets {
		if w.hasSent(secret) || w.hasSent(secret[:len(secret)/2]) {
			t.Errorf("the secret %s was uploaded", name)
		}
		if strings.Contains(p.Stderr()+p.Stdout()+metrics+status, secret) {
			t.Errorf("the secret %s is shown", name)
		}
	}
}

// unshareMounts gives this test and its child processes a private mount namespace. It returns
// false without the privilege.
func unshareMounts(t *testing.T) bool {
	t.Helper()
	runtime.LockOSThread() // for good: no other goroutine can use the thread afterwards
	err := unix.Unshare(unix.CLONE_NEWNS)
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err != nil {
		t.Log("nothing is mounted: ", err)
	}

	return err == nil
}

// submitPaths are the ways to submit contents.
type submitPaths struct {
	t  *testing.T
	p  *testkit.Process
	js jetstream.JetStream
}

func (r submitPaths) do(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r submitPaths) publish(source string, h nats.Header, body string) {
	r.t.Helper()
	_, err := r.js.PublishMsg(r.t.Context(), &nats.Msg{Subject: "backburn.jobs.normal." + source, Header: h, Data: []byte(body)})
	r.do(err)
}

func (r submitPaths) raw(source, body string) {
	r.t.Helper()
	r.publish(source, nats.Header{"Backburn-Filename": {"raw.exe"}}, body)
}

func (r submitPaths) reference(source, content string) {
	r.t.Helper()
	r.publish(source, nats.Header{"Content-Type": {"application/json"}}, `{"version":1,"kind":"file","filename":"a.exe","content":`+content+`}`)
}

func (r submitPaths) object(source, body string) {
	r.t.Helper()
	store, err := r.js.ObjectStore(r.t.Context(), "backburn_files")
	r.do(err)
	_, err = store.PutString(r.t.Context(), "an-object", body)
	r.do(err)
	r.reference(source, `{"object":"an-object"}`)
}

func (r submitPaths) http(token, body string) {
	r.t.Helper()
	url := "http://" + r.p.Logged("serving the HTTP API").Text("addr") + "/v1/submit?filename=http.exe"
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, url, strings.NewReader(body))
	r.do(err)
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	r.do(err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		r.t.Fatalf("HTTP %d", res.StatusCode)
	}
}

func (r submitPaths) clamd(body string) {
	r.t.Helper()
	c, err := net.Dial("tcp", r.p.Logged("serving the clamd protocol").Text("addr"))
	r.do(err)
	defer c.Close()
	r.do(c.SetDeadline(time.Now().Add(testkit.Patience)))
	_, err = fmt.Fprintf(c, "zINSTREAM\x00\x00\x00\x00%c%s\x00\x00\x00\x00", len(body), body)
	r.do(err)
	_, err = io.ReadAll(c)
	r.do(err)
}

func (r submitPaths) mail(attachment string) {
	r.t.Helper()
	addr := r.p.Logged("filtering mail").Text("addr")
	c := milter.NewClientWithOptions("tcp", addr, milter.ClientOptions{
		ReadTimeout:  testkit.Patience,
		WriteTimeout: testkit.Patience,
		ActionMask:   milter.OptAddHeader | milter.OptChangeHeader | milter.OptQuarantine,
	})
	session, err := c.Session()
	r.do(err)
	defer session.Close()
	_, err = session.Conn("client.example.org", milter.FamilyInet, 25, "192.0.2.7")
	r.do(err)
	_, err = session.Mail("bob@example.org", nil)
	r.do(err)
	_, err = session.Rcpt("alice@example.org", nil)
	r.do(err)
	_, err = session.HeaderField("Content-Type", "application/octet-stream")
	r.do(err)
	_, err = session.HeaderEnd()
	r.do(err)
	_, _, err = session.BodyReadFrom(strings.NewReader(attachment))
	r.do(err)
}
