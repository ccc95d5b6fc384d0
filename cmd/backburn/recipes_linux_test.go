package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
)

// recipeEnv maps the paths and ports of a recipe to those of a test.
type recipeEnv struct {
	t            *testing.T
	dir          string
	replacements []string // pairs
}

func newRecipeEnv(t *testing.T) *recipeEnv {
	t.Helper()
	dir := testkit.OpenDir(t)
	p := &recipeEnv{t: t, dir: dir}
	for _, name := range []string{"/run/backburn", "/etc/backburn", "/srv/upload"} {
		at := dir + name
		if err := os.MkdirAll(at, 0o755); err != nil {
			t.Fatal(err)
		}
		p.replacements = append(p.replacements, name, at)
	}

	return p
}

// port replaces a port number of the recipe.
func (p *recipeEnv) port(number string) string {
	p.t.Helper()
	port := testkit.FreePort(p.t)
	p.replacements = append(p.replacements, "127.0.0.1:"+number, "127.0.0.1:"+port)

	return "127.0.0.1:" + port
}

func (p *recipeEnv) adapt(s string) string { return strings.NewReplacer(p.replacements...).Replace(s) }

func (p *recipeEnv) write(name, text string) string {
	p.t.Helper()
	name = filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		p.t.Fatal(err)
	}

	return name
}

const clamdDoc = "../../docs/clamd.md"

func TestRecipeClamdscan(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "clamdscan", "clamdscan")
	p := newRecipeEnv(t)
	s := testkit.NewSite(t)
	s.Append(p.adapt(testkit.Snippet(t, clamdDoc, "backburn.toml")))
	s.Start("backburn", "run").Logged("serving the clamd protocol")
	p.write("etc/backburn/clamd-client.conf", p.adapt(testkit.Snippet(t, clamdDoc, "/etc/backburn/clamd-client.conf")))
	bad := p.write("srv/upload/invoice.js", "var x; // wildfire-test:malware")
	p.write("srv/upload/good.exe", "MZ good")

	args := testkit.Command(t, clamdDoc, "clamdscan")
	for i := range args {
		args[i] = p.adapt(args[i])
	}

	base := args[:len(args)-1]
	scan := func(more ...string) (string, int) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), more[0], more[1:]...)
		out, _ := cmd.CombinedOutput() // the exit code is checked below

		return string(out), cmd.ProcessState.ExitCode()
	}
	for name, tc := range map[string]struct {
		command []string
		out     string
		code    int
	}{
		"the recipe": {args, bad + ": WildFire.malware FOUND\n", 1},
		"clean":      {append(base[:len(base):len(base)], p.dir+"/srv/upload/good.exe"), p.dir + "/srv/upload/good.exe: OK\n", 0},
		"streamed":   {append([]string{base[0], base[1], "--no-summary", "--stream"}, bad), bad + ": WildFire.malware FOUND\n", 1},
		"by path":    {append([]string{base[0], base[1], "--no-summary"}, p.dir+"/srv/upload"), bad + ": WildFire.malware FOUND\n", 1},
		"multiscan":  {append([]string{base[0], base[1], "--no-summary", "--multiscan"}, p.dir+"/srv/upload"), bad + ": WildFire.malware FOUND\n", 1},
	} {
		if out, code := scan(tc.command...); out != tc.out || code != tc.code {
			t.Errorf("%s: %q, exit code %d; want %q, %d", name, out, code, tc.out, tc.code)
		}
	}
}

func TestRecipeSquid(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "squid c-icap libc-icap-mod-virus-scan", "squid", "c-icap")
	p := newRecipeEnv(t)
	s := testkit.NewSite(t)
	s.Append(p.adapt(testkit.Snippet(t, clamdDoc, "backburn.toml")))
	s.Start("backburn", "run").Logged("serving the clamd protocol")

	icap, proxy := p.port("1344"), p.port("3128")
	virusScan := p.write("virus_scan.conf", p.adapt(testkit.Snippet(t, clamdDoc, "/etc/c-icap/virus_scan.conf")))
	cicap := p.write("c-icap.conf", fmt.Sprintf(`PidFile %[1]s/c-icap.pid
CommandsSocket %[1]s/c-icap.ctl
Port %[2]s
ServerLog %[1]s/c-icap.log
AccessLog %[1]s/c-icap-access.log
TmpDir %[1]s
ModulesDir %[4]s
ServicesDir %[4]s
TemplateDir /usr/share/c_icap/templates/
LoadMagicFile /etc/c-icap/c-icap.magic
StartServers 1
MaxServers 1
ThreadsPerChild 10
Include %[3]s
`, p.dir, icap, virusScan, icapModuleDir(t)))
	s.Foreign(icap, "c-icap", "-N", "-f", cicap)

	logs := filepath.Join(p.dir, "squid")
	if err := os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(logs, 0o777); err != nil { // Squid drops its privileges
		t.Fatal(err)
	}

	squid := p.write("squid.conf", fmt.Sprintf(`http_port %[2]s
pid_filename %[1]s/squid.pid
cache_log %[1]s/cache.log
access_log none
pinger_enable off
cache deny all
http_access allow localhost
`, logs, proxy)+p.adapt(testkit.Snippet(t, clamdDoc, "/etc/squid/conf.d/backburn.conf")))
	s.Foreign(proxy, "squid", "-N", "-f", squid)

	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "MZ %s wildfire-test:%s", r.URL.Path, strings.TrimPrefix(r.URL.Path, "/"))
	}))
	t.Cleanup(web.Close)
	via, err := url.Parse("http://" + proxy)
	if err != nil {
		t.Fatal(err)
	}

	client := &http.Client{Transport: &http.Transport{
		Proxy:             func(*http.Request) (*url.URL, error) { return via, nil },
		DisableKeepAlives: true,
	}}
	for path, want := range map[string]int{"/benign": 200, "/malware": 403, "/phishing": 403, "/unsupported": 200} {
		res, err := client.Get(web.URL + path)
		if err != nil {
			t.Fatal(err)
		}

		_ = res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, res.Status, want)
		}
	}
}

// TestRecipeRspamd runs rspamd's own worker, which asks about the parts of mails.
func TestRecipeRspamd(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "rspamd curl", "rspamd", "curl")
	p := newRecipeEnv(t)
	s := testkit.NewSite(t)
	s.Append(p.adapt(testkit.Snippet(t, clamdDoc, "backburn.toml")))
	s.Start("backburn", "run").Logged("serving the clamd protocol")

	address := p.port("11333")
	conf := p.write("rspamd.conf", fmt.Sprintf(`options {
	pidfile = "%[1]s/rspamd.pid";
	url_tld = "${SHAREDIR}/effective_tld_names.dat";
	temp_dir = "%[1]s";
	dns { nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }
}
logging { type = "console"; level = "info"; }
worker "normal" { bind_socket = "%[2]s"; count = 1; }
modules { path = "${PLUGINSDIR}"; }
lua = "${RULESDIR}/rspamd.lua";
actions { reject = 15; }
antivirus {
%[3]s}
`, p.dir, address, p.adapt(testkit.Snippet(t, clamdDoc, "/etc/rspamd/local.d/antivirus.conf"))))
	s.Foreign(address, "rspamd", "--no-fork", "--insecure", "--config="+conf, "--var=DBDIR="+p.dir, "--var=RUNDIR="+p.dir, "--var=LOGDIR="+p.dir)

	for verdict, want := range map[string][2]string{
		"benign":   {`"action":"no action"`, ""},
		"malware":  {`"action":"reject"`, "WildFire.malware"},
		"phishing": {`"action":"reject"`, "WildFire.phishing"},
	} {
		mail := p.write(verdict+".eml", "From: bob@example.org\r\nTo: alice@mail.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n"+
			"Content-Type: multipart/mixed; boundary=BB\r\n\r\n--BB\r\nContent-Type: text/plain\r\n\r\nhello\r\n--BB\r\n"+
			"Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\nMZ wildfire-test:"+verdict+"\r\n--BB--\r\n")
		ask := testkit.Command(t, clamdDoc, "curl")
		for i := range ask {
			ask[i] = strings.Replace(p.adapt(ask[i]), "@mail.eml", "@"+mail, 1)
		}

		out, err := exec.CommandContext(t.Context(), ask[0], ask[1:]...).Output()
		if err != nil || !strings.Contains(string(out), want[0]) || strings.Contains(string(out), `"WILDFIRE"`) != (want[1] != "") || !strings.Contains(string(out), want[1]) {
			t.Errorf("%s: %v, %s", verdict, err, out)
		}
	}
}

// icapModuleDir returns the folder of c-icap's modules, which depends on the architecture.
func icapModuleDir(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob("/usr/lib/*/c_icap/clamd_mod.so")
	if err != nil || len(found) == 0 {
		t.Fatalf("no clamd_mod.so of c-icap: %v", err)
	}

	return filepath.Dir(found[0])
}

const mailDoc = "../../docs/mail.md"

// startPostfix starts a Postfix for the test, and returns its address and the folder of delivered
// mail.
func startPostfix(t *testing.T, s *testkit.Site, p *recipeEnv) (address, box string) {
	t.Helper()
	needs.Programs(t, "postfix", "postfix")
	needs.Root(t, "Postfix")
	address = "127.0.0.1:" + testkit.FreePort(t)
	box = filepath.Join(p.dir, "box")
	for dir, mode := range map[string]os.FileMode{"box": 0o777, "spool": 0o755, "data": 0o755} {
		if err := os.Mkdir(filepath.Join(p.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(p.dir, dir), mode); err != nil {
			t.Fatal(err)
		}
	}

	if out, err := exec.Command("chown", "postfix", filepath.Join(p.dir, "data")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	conf := filepath.Join(p.dir, "postfix")
	p.write("postfix/main.cf", fmt.Sprintf(`compatibility_level = 3.6
queue_directory = %[1]s/spool
data_directory = %[1]s/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
meta_directory = /etc/postfix
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mail.test
mydestination =
alias_maps =
virtual_mailbox_domains = mail.test
virtual_mailbox_base = %[1]s/box
virtual_mailbox_maps = static:m/
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
maillog_file = %[1]s/maillog
maillog_file_prefixes = %[1]s
mynetworks = 127.0.0.0/8
`, p.dir)+p.adapt(testkit.Snippet(t, mailDoc, "main.cf")))
	p.write("postfix/master.cf", address+` inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
`)
	run := func(verb string) error {
		out, err := exec.Command("postfix", "-c", conf, verb).CombinedOutput()
		if err != nil {
			return fmt.Errorf("postfix %s: %w: %s", verb, err, out)
		}

		return nil
	}
	t.Cleanup(func() {
		if err := run("stop"); err != nil {
			t.Error(err)
		}
		if log, err := os.ReadFile(filepath.Join(p.dir, "maillog")); err == nil && t.Failed() {
			t.Logf("Postfix wrote:\n%s", log)
		}
	})
	if err := run("start"); err != nil {
		log, _ := os.ReadFile(filepath.Join(p.dir, "maillog"))
		t.Fatalf("%v\n%s", err, log)
	}

	testkit.Listening(t, "Postfix", address, nil)

	return address, filepath.Join(box, "m", "new")
}

func TestRecipePostfix(t *testing.T) {
	t.Parallel()
	p := newRecipeEnv(t)
	p.port("9466")
	s := testkit.NewSite(t)
	s.Append(p.adapt(testkit.Snippet(t, mailDoc, "backburn.toml")))
	address, box := startPostfix(t, s, p)
	b := s.Start("backburn", "run")
	b.Logged("filtering mail")

	send := func(subject string, parts ...string) error {
		raw := "From: bob@example.org\r\nTo: alice@mail.test\r\nSubject: " + subject + "\r\nMessage-ID: <" + subject + "@example.org>\r\n" +
			"X-Backburn: clean; this is a lie\r\nX-Backburn: clean; another one\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=BB\r\n\r\n" +
			"--BB\r\nContent-Type: text/plain\r\n\r\nhello\r\n"
		for _, part := range parts {
			raw += "--BB\r\n" + part + "\r\n"
		}

		return smtp.SendMail(address, nil, "bob@example.org", []string{"alice@mail.test", "carol@mail.test"}, []byte(raw+"--BB--\r\n"))
	}
	attached := func(name, body string) string {
		return "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=\"" + name + "\"\r\n\r\n" + body
	}

	if err := send("evil", attached("invoice.exe", "MZ wildfire-test:malware")); err == nil || !strings.Contains(err.Error(), "5.7.1 Attachment refused: malware (mail-") {
		t.Errorf("%v", err)
	}

	sixteen := make([]string, 16)
	for i := range sixteen {
		sixteen[i] = attached(fmt.Sprintf("file %d.exe", i), fmt.Sprintf("MZ %d", i))
	}
	if err := send("sixteen", sixteen...); err != nil {
		t.Fatal(err)
	}

	var mail string
	s.Until("the mail in the box", func() bool {
		found, err := filepath.Glob(filepath.Join(box, "*"))
		if err != nil || len(found) == 0 {
			return false
		}

		text, err := os.ReadFile(found[0])
		mail = string(text)

		return err == nil
	})
	if n := strings.Count(mail, "\nX-Backburn: "); n != 1 || !strings.Contains(mail, "\nX-Backburn: clean; attachments=16; malicious=0; pending=0; unjudged=0; id=mail-") {
		t.Errorf("%d headers: %s", n, mail[:min(len(mail), 1500)])
	}

	events := testkit.FinalsOf(t, s.Queue(b), "mail", 17)
	names := map[string]bool{}
	for _, e := range events {
		names[e.Data.Filename] = true
		m := e.Data.Metadata
		if m["sender"] != "bob@example.org" || m["recipients"] != "alice@mail.test,carol@mail.test" || m["queue-id"] == "" || m["client"] != "127.0.0.1" ||
			m["message-id"] != "<sixteen@example.org>" && m["message-id"] != "<evil@example.org>" {
			t.Errorf("%+v", e.Data)
		}
	}

	if len(events) != 17 || len(names) != 17 {
		t.Errorf("%d events of %d names", len(events), len(names))
	}

	s.Configure(testkit.Settings{"nats.url": b.NATS(), "nats.token_file": s.Path("nats.token")})
	for _, e := range events { // each has its own trace
		trace := s.Start("backburn", "trace", "mail/"+e.Data.JobID)
		if code := trace.Wait(); code != 0 || !strings.Contains(trace.Stdout(), e.Data.Filename) || !strings.Contains(trace.Stdout(), e.Data.SHA256) {
			t.Errorf("trace of %s: exit code %d\n%s%s", e.Data.JobID, code, trace.Stdout(), trace.Stderr())
		}
	}

	b.Stop()
	if err := send("away", attached("a.exe", "MZ away")); err == nil || !strings.Contains(err.Error(), "4.7.1") {
		t.Errorf("without the filter: %v", err)
	}
}
