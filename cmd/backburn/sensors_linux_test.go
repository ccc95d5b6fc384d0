package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
	"backburn/results"
)

const sensorsDoc = "../../docs/sensors.md"

// capture is a packet capture in libpcap's format, with successive connections over Ethernet and
// IPv4.
type capture struct {
	bytes.Buffer
	packets uint32
}

func newCapture() *capture {
	c := &capture{}
	for _, v := range []any{uint32(0xa1b2c3d4), uint16(2), uint16(4), uint32(0), uint32(0), uint32(65535), uint32(1)} {
		_ = binary.Write(c, binary.LittleEndian, v)
	}

	return c
}

// Flags of TCP.
const (
	fin  = 1
	syn  = 2
	push = 8
	ack  = 16
)

// endpoint is one end of a connection.
type endpoint struct {
	ip   string
	port uint16
	seq  uint32
}

// packet is sent from one end to the other. Checksums are left out (suricata -k none).
func (c *capture) packet(from, to *endpoint, flags uint16, payload string) {
	const headers = 20 + 20
	b := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(headers+len(payload)))
	b = append(b, 0, 0, 0, 0, 64, 6, 0, 0)
	b = append(b, net.ParseIP(from.ip).To4()...)
	b = append(b, net.ParseIP(to.ip).To4()...)
	b = binary.BigEndian.AppendUint16(b, from.port)
	b = binary.BigEndian.AppendUint16(b, to.port)
	b = binary.BigEndian.AppendUint32(b, from.seq)
	b = binary.BigEndian.AppendUint32(b, to.seq)
	b = binary.BigEndian.AppendUint16(b, 5<<12|flags)
	b = append(b, 0xff, 0xff, 0, 0, 0, 0)
	b = append(b, payload...)

	from.seq += uint32(len(payload))
	if flags&(syn|fin) != 0 {
		from.seq++
	}

	c.packets++
	for _, v := range []uint32{1700000000 + c.packets/1_000_000, c.packets % 1_000_000, uint32(len(b)), uint32(len(b))} {
		_ = binary.Write(c, binary.LittleEndian, v)
	}

	c.Write(b)
}

// download is a request, and its answer.
func (c *capture) download(port uint16, path, header, body string) {
	client, server := &endpoint{"198.51.100.3", port, 1000}, &endpoint{"192.0.2.7", 80, 5000}
	c.packet(client, server, syn, "")
	c.packet(server, client, syn|ack, "")
	c.packet(client, server, ack, "")
	c.packet(client, server, push|ack, "GET "+path+" HTTP/1.1\r\nHost: evil.example\r\nUser-Agent: curl/8\r\n\r\n")
	c.packet(server, client, ack, "")
	answer := "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n" + header + "Content-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
	for answer != "" {
		n := min(1400, len(answer))
		c.packet(server, client, push|ack, answer[:n])
		c.packet(client, server, ack, "")
		answer = answer[n:]
	}
	c.packet(server, client, fin|ack, "")
	c.packet(client, server, fin|ack, "")
	c.packet(server, client, ack, "")
}

// execute runs a foreign program until it ends.
func execute(t *testing.T, command ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(command, " "), err, out)
	}
}

// TestRecipeSuricata runs Suricata as root, as Debian does, and Backburn as another user that is in
// the group of its folder.
func TestRecipeSuricata(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "suricata (from backports in Debian 12)", "suricata")
	needs.Root(t, "Backburn as another user than Suricata")
	const nobody = 65534
	p := newRecipeEnv(t)
	for _, name := range []string{"/var/spool/suricata", "/var/lib/backburn", "/etc/suricata"} {
		p.replacements = append(p.replacements, name, p.dir+name)
	}

	install := testkit.Command(t, sensorsDoc, "install")
	for i := range install {
		install[i] = strings.Replace(p.adapt(install[i]), "backburn", strconv.Itoa(nobody), strings.Count(install[max(i-1, 0)], "-g"))
	}
	if err := os.MkdirAll(p.dir+"/var/spool", 0o755); err != nil {
		t.Fatal(err)
	}

	execute(t, install...)
	p.write("etc/suricata/backburn.rules", testkit.Snippet(t, sensorsDoc, "backburn.rules"))
	p.write("etc/suricata/suricata.yaml", fmt.Sprintf("%%YAML 1.1\n---\ndefault-log-dir: %[1]s\ndefault-rule-path: %[1]s/etc/suricata\nrule-files: [backburn.rules]\n", p.dir)+
		p.adapt(testkit.Snippet(t, sensorsDoc, "suricata.yaml")))

	script := "var x; // wildfire-test:malware"
	program := "MZ " + strings.Repeat("a program of more than any default of Suricata's", 60_000)
	c := newCapture()
	c.download(40001, "/dl/invoice.exe", "", program)
	c.download(40002, "/d?id=1", "Content-Disposition: attachment; filename=\"run me.js\"\r\n", script)
	c.download(40003, "/logo.png", "", "\x89PNG")
	p.write("download.pcap", c.String())

	s := testkit.NewSite(t)
	s.Append(p.adapt(testkit.Snippet(t, sensorsDoc, "backburn.toml, Suricata")))
	state := p.dir + "/var/lib/backburn"
	if err := os.MkdirAll(state, 0o755); err != nil {
		t.Fatal(err)
	}

	execute(t, "chown", "-R", strconv.Itoa(nobody), s.Dir, state)
	execute(t, "chmod", "755", filepath.Dir(s.Dir))
	b := s.Start("setpriv", "--reuid", strconv.Itoa(nobody), "--regid", strconv.Itoa(nobody), "--clear-groups", copyOfTestBinary(t, p), "run")
	b.Logged("ready")

	suricata := testkit.Command(t, sensorsDoc, "suricata")
	for i := range suricata {
		suricata[i] = p.adapt(strings.Replace(suricata[i], "download.pcap", p.dir+"/download.pcap", 1))
	}

	execute(t, append(suricata, "-l", p.dir)...)
	for _, dir := range []string{"00", "ff", "tmp"} {
		info, err := os.Stat(p.dir + "/var/spool/suricata/" + dir)
		if err != nil || info.Mode().Perm() != 0o750 {
			t.Fatalf("%s: %v, %v", dir, info.Mode(), err)
		}
	}

	events := testkit.FinalsOf(t, s.Queue(b), "suricata", 2)
	byName := map[string]results.Event{}
	for _, e := range events {
		byName[e.Data.Filename] = e
	}

	exe, js := byName["invoice.exe"], byName["run me.js"]
	if len(events) != 2 || exe.Data.Size != int64(len(program)) || exe.Data.Verdict != "benign" || exe.Data.Metadata["url"] != "http://evil.example/dl/invoice.exe" {
		t.Errorf("%d events: %+v", len(events), exe.Data)
	}
	if js.Data.Verdict != "malware" || js.Data.Path != js.Data.SHA256[:2]+"/"+js.Data.SHA256 || js.Data.Metadata["flow-id"] == "" || js.Data.Metadata["time"] == "" {
		t.Errorf("%+v", js.Data)
	}

	var shown struct {
		Filename string            `json:"filename"`
		Metadata map[string]string `json:"metadata"`
	}
	if err := json.Unmarshal([]byte("{"+testkit.Block(t, sensorsDoc, `"filename": "run me.js",`)+"}"), &shown); err != nil {
		t.Fatal(err)
	}

	delete(js.Data.Metadata, "flow-id")
	delete(js.Data.Metadata, "time")
	if !maps.Equal(shown.Metadata, js.Data.Metadata) {
		t.Errorf("the document shows %v, the event has %v", shown.Metadata, js.Data.Metadata)
	}

	// The same file again is another job with the same contents. A truncated file is withheld.
	execute(t, "touch", p.dir+"/var/spool/suricata/"+js.Data.Path)
	cut := "MZ cut short"
	sum := testkit.File{Body: []byte(cut)}.SHA256()
	p.write("var/spool/suricata/"+sum[:2]+"/"+sum+".1700000002.9.json", `{"fileinfo":{"filename":"/cut.exe","state":"TRUNCATED"}}`)
	p.write("var/spool/suricata/"+sum[:2]+"/"+sum, cut)
	s.Until("the other events", func() bool { return len(testkit.FinalsOf(t, s.Queue(b), "suricata", 4)) == 4 })
	if n := s.WildFire.UploadCount(js.Data.SHA256); n != 1 {
		t.Errorf("%d uploads of one contents", n)
	}
	if n := s.WildFire.UploadCount(sum); n != 0 {
		t.Errorf("the truncated file was uploaded %d times", n)
	}
}

// copyOfTestBinary returns a copy of this program that other users may run.
func copyOfTestBinary(t *testing.T, p *recipeEnv) string {
	t.Helper()
	from, err := exec.LookPath("backburn")
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(p.dir, "backburn")
	execute(t, "cp", from, to)
	execute(t, "chmod", "755", to)

	return to
}

// TestRecipeZeek creates the same files as the script in the document: a description, then its
// file.
func TestRecipeZeek(t *testing.T) {
	t.Parallel()
	p := newRecipeEnv(t)
	p.replacements = append(p.replacements, "/var/spool/zeek", p.dir+"/var/spool/zeek")
	p.write("var/spool/zeek/tmp/FunfInished.exe", "MZ under way")
	s := testkit.NewSite(t)
	s.Append(p.adapt(testkit.Snippet(t, sensorsDoc, "backburn.toml, Zeek")))
	b := s.Start("backburn", "run")
	b.Logged("ready")

	p.write("var/spool/zeek/FmY7.exe.json", `{"filename":"in\u0076oice.exe","metadata":{"fuid":"FmY7","protocol":"HTTP","uid":"C1","client":"198.51.100.3","server":"192.0.2.7:80","url":"http://evil.example/dl/invoice.exe"}}`)
	p.write("var/spool/zeek/tmp/FmY7.exe", "MZ wildfire-test:malware")
	if err := os.Rename(p.dir+"/var/spool/zeek/tmp/FmY7.exe", p.dir+"/var/spool/zeek/FmY7.exe"); err != nil {
		t.Fatal(err)
	}

	e := testkit.FinalsOf(t, s.Queue(b), "zeek", 1)[0]
	if e.Data.Filename != "invoice.exe" || e.Data.Path != "FmY7.exe" || e.Data.Verdict != "malware" || e.Data.Metadata["url"] != "http://evil.example/dl/invoice.exe" || e.Data.Metadata["fuid"] != "FmY7" {
		t.Errorf("%+v", e.Data)
	}

	left, err := filepath.Glob(p.dir + "/var/spool/zeek/*")
	if err != nil || !slices.Equal(left, []string{p.dir + "/var/spool/zeek/.backburn", p.dir + "/var/spool/zeek/tmp"}) {
		t.Errorf("left: %v %v", left, err)
	}

	// The temporary name that the script uses, and the folders that both sides use.
	text := testkit.Snippet(t, sensorsDoc, "backburn.zeek")
	for _, want := range []string{`const dir = "/var/spool/zeek/"`, `FileExtract::prefix = "/var/spool/zeek/tmp/"`, `name + ".json"`, `rename(part, dir + name)`, `$filename = `, `$metadata = `} {
		if !strings.Contains(text, want) {
			t.Errorf("the script does not have %s", want)
		}
	}
}

// TestRecipeSamba puts files on a share with Debian's server and client.
func TestRecipeSamba(t *testing.T) {
	t.Parallel()
	needs.Programs(t, "samba smbclient", "smbd", "smbclient")
	needs.Root(t, "Samba's server")
	p := newRecipeEnv(t)
	p.replacements = append(p.replacements, "/srv/drop", p.dir+"/srv/drop", "force group = backburn", "force group = root")
	if err := os.MkdirAll(p.dir+"/srv/drop", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p.dir+"/srv/drop", 0o777); err != nil {
		t.Fatal(err)
	}

	s := testkit.NewSite(t)
	s.Append(p.adapt(testkit.Snippet(t, sensorsDoc, "backburn.toml, Samba")))
	b := s.Start("backburn", "run")
	b.Logged("ready")

	port := testkit.FreePort(t)
	conf := p.write("smb.conf", fmt.Sprintf(`[global]
interfaces = 127.0.0.1/8
bind interfaces only = yes
disable netbios = yes
smb ports = %[2]s
server role = standalone server
map to guest = Bad User
guest account = nobody
load printers = no
disable spoolss = yes
lock directory = %[1]s/samba
state directory = %[1]s/samba
cache directory = %[1]s/samba
private dir = %[1]s/samba
pid directory = %[1]s/samba
ncalrpc dir = %[1]s/samba/ncalrpc
log file = %[1]s/samba/log
`, p.dir, port)+p.adapt(testkit.Snippet(t, sensorsDoc, "smb.conf")))
	if err := os.MkdirAll(p.dir+"/samba/ncalrpc", 0o755); err != nil {
		t.Fatal(err)
	}

	s.Foreign("127.0.0.1:"+port, "smbd", "--foreground", "--debug-stdout", "--configfile="+conf)

	p.write("invoice.exe", "MZ wildfire-test:malware")
	p.write("large.exe", "MZ "+strings.Repeat("large", 1<<20))
	args := []string{"--port=" + port, "--configfile=" + conf}
	for _, file := range []string{"invoice.exe", "large.exe"} {
		put := strings.TrimPrefix(testkit.ShellLine(t, sensorsDoc, "smbclient "), "smbclient ")
		command := strings.Replace(put, "put invoice.exe", "lcd "+p.dir+"; put "+file, 1)
		out, err := exec.CommandContext(t.Context(), "sh", "-c", "smbclient "+strings.Join(args, " ")+" "+command).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "putting file "+file) {
			t.Fatalf("smbclient: %v\n%s", err, out)
		}
	}

	events := testkit.FinalsOf(t, s.Queue(b), "drop", 2)
	verdicts := map[string]string{}
	for _, e := range events {
		verdicts[e.Data.Filename] = fmt.Sprint(e.Data.Verdict, " ", e.Data.Size)
	}
	if want := map[string]string{"invoice.exe": "malware 24", "large.exe": "benign " + strconv.Itoa(3+5*(1<<20))}; !maps.Equal(verdicts, want) {
		t.Errorf("%v, want %v", verdicts, want)
	}
}
