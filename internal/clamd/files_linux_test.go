package clamd_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"backburn/internal/clamd"
	"backburn/internal/guard"
	"backburn/internal/testkit"
	"backburn/internal/testkit/needs"
)

// pass sends file descriptors, with the byte that must accompany them.
func (c *client) pass(fds ...int) {
	c.t.Helper()
	if _, _, err := c.Conn.(*net.UnixConn).WriteMsgUnix([]byte{0}, syscall.UnixRights(fds...), nil); err != nil {
		c.t.Fatal(err)
	}
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	return name
}

func open(t *testing.T, name string, flags int) int {
	t.Helper()
	fd, err := unix.Open(name, flags, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })

	return fd
}

// A passed file is judged completely and under its name, whatever its current offset.
func TestPassedFiles(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	p.Work()
	s := serve(t, p, nil)
	name := write(t, filepath.Join(t.TempDir(), "script.js"), "var a; // wildfire-test:malware")
	fd := open(t, name, unix.O_RDONLY)
	if _, err := unix.Seek(fd, 0, 2); err != nil {
		t.Fatal(err)
	}

	c := s.dial()
	c.send("nIDSESSION\n")
	for i, want := range []string{"1: ", "2: "} {
		c.send("nFILDES\n")
		c.pass(fd)
		if got := c.reply('\n'); !strings.HasPrefix(got, want+"fd[") || !strings.HasSuffix(got, "]: WildFire.malware FOUND") {
			t.Errorf("%d: %q", i, got)
		}
	}
	c.send("nPING\n") // the byte that came with the file is not a command
	if got := c.reply('\n'); got != "3: PONG" {
		t.Errorf("%q", got)
	}
	if e := p.Finals("clamd", 1)[0]; e.Data.Filename != "script.js" {
		t.Errorf("%+v", e.Data)
	}
}

// Entries that are not regular files or cannot be read lead to an error, and nothing blocks.
func TestPassedFilesThatCannotBeJudged(t *testing.T) {
	t.Parallel()
	s := serve(t, testkit.NewPipeline(t), func(c *clamd.Config) {
		c.Unknown = clamd.UnknownOK
		c.Wait = 0
		c.MaxStream = 100
	})
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	plain := write(t, filepath.Join(dir, "plain"), "MZ")
	large := write(t, filepath.Join(dir, "large"), strings.Repeat("x", 101))
	for name, tc := range map[string]struct {
		fd   int
		want string
	}{
		"a pipe":             {open(t, fifo, unix.O_RDWR), "not a regular file. ERROR"},
		"a folder":           {open(t, dir, unix.O_RDONLY), "not a regular file. ERROR"},
		"a device":           {open(t, "/dev/zero", unix.O_RDONLY), "not a regular file. ERROR"},
		"only for writing":   {open(t, plain, unix.O_WRONLY), "cannot read the file. ERROR"},
		"a name, not opened": {open(t, plain, unix.O_PATH), "cannot read the file. ERROR"},
		"too large":          {open(t, large, unix.O_RDONLY), "size limit exceeded. ERROR"},
		"plain":              {open(t, plain, unix.O_RDONLY), "OK"},
	} {
		c := s.dial()
		c.send("zFILDES\x00")
		c.pass(tc.fd)
		if got := c.reply(0); !strings.HasSuffix(got, "]: "+tc.want) {
			t.Errorf("%s: %q", name, got)
		}
	}

	c := s.dial()
	c.send("zFILDES\x00", "x")
	if got := c.reply(0); got != "No file descriptor received. ERROR" {
		t.Errorf("%q", got)
	}
}

// Passed files that no command uses are limited in number, and are closed with the connection.
func TestUnusedPassedFilesAreLimited(t *testing.T) {
	t.Parallel()
	s := serve(t, testkit.NewPipeline(t), nil)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	c := s.dial()
	c.send("zIDSESSION\x00")
	for range 100 {
		if _, _, err := c.Conn.(*net.UnixConn).WriteMsgUnix([]byte("zPING\x00"), syscall.UnixRights(int(w.Fd()), int(w.Fd()), int(w.Fd())), nil); err != nil {
			break // refused, as expected
		}
	}
	for {
		if _, err := c.in.ReadString(0); err != nil {
			break
		}
	}
	_ = w.Close()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil { // end of file: all writers are closed
		t.Errorf("%d, %v", n, err)
	}
}

func TestScan(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	p.Work()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	write(t, filepath.Join(root, "a.exe"), "MZ a")
	write(t, filepath.Join(root, "sub", "b malware.exe"), "MZ b")
	write(t, filepath.Join(root, "sub", "c\nmalware.exe"), "MZ c")
	write(t, filepath.Join(root, "clean", "d.exe"), "MZ d")
	write(t, filepath.Join(root, "clean", "empty"), "")
	write(t, filepath.Join(dir, "outside malware"), "MZ outside")
	for name, to := range map[string]string{"link": "../outside malware", "clean/dir": ".."} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "clean", "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, p, func(c *clamd.Config) { c.Roots = []string{root} })

	at := func(name string) string { return filepath.Join(root, name) }
	found := at("sub/b malware.exe") + ": WildFire.malware FOUND\n"
	odd := at("sub/c?malware.exe") + ": WildFire.malware FOUND\n"
	for ask, want := range map[string][]string{
		"nSCAN " + at("a.exe"):              {at("a.exe") + ": OK\n"},
		"nSCAN " + at("sub/../a.exe"):       {at("sub/../a.exe") + ": OK\n"},
		"nSCAN " + at("sub/b malware.exe"):  {found},
		"nSCAN " + at("clean"):              {at("clean") + ": OK\n"},
		"nCONTSCAN " + at("sub"):            {found + odd, odd + found},
		"nMULTISCAN " + at("sub"):           {found + odd, odd + found},
		"nSCAN " + at("sub"):                {found, odd},
		"nALLMATCHSCAN " + at("sub"):        {found, odd},
		"nSCAN " + at("none"):               {at("none") + ": lstat() failed: No such file or directory. ERROR\n"},
		"nSCAN " + at("link"):               {at("link") + ": Not a regular file. ERROR\n", at("link") + ": cannot be opened beneath its root. ERROR\n"},
		"nSCAN " + at("clean/fifo"):         {at("clean/fifo") + ": Not a regular file. ERROR\n"},
		"nSCAN " + at("../outside malware"): {at("") + "/../outside malware: Access denied. ERROR\n", filepath.Join(dir, "outside malware") + ": Access denied. ERROR\n"},
		"nSCAN " + root + "x":               {root + "x: Access denied. ERROR\n"},
		"nSCAN " + at("clean/dir/sub"):      {at("clean/dir/sub") + ": lstat() failed: cannot be opened beneath its root. ERROR\n"},
		"zSCAN " + root + "/../a\nb\x00x":   {filepath.Join(dir) + "/root/../a?b: Access denied. ERROR\x00"},
	} {
		end := "\n"
		if ask[0] == 'z' {
			end = ""
		}
		got := s.ask(ask + end)
		if len(want) == 1 && got != want[0] || len(want) == 2 && got != want[0] && got != want[1] {
			t.Errorf("%q: %q, want %q", ask, got, want)
		}
	}
	for _, e := range p.Finals("clamd", 4) {
		if e.Data.Path == "" || e.Data.Filename != filepath.Base(e.Data.Path) {
			t.Errorf("%+v", e.Data)
		}
	}
	if found := strings.Count(s.ask("nCONTSCAN "+root+"\n"), "FOUND"); found != 2 {
		t.Errorf("%d found below the root, want 2", found)
	}
}

// One of Backburn's own files is not judged, whatever command or path leads to it.
func TestOwnFilesAreNotJudged(t *testing.T) {
	t.Parallel()
	p := testkit.NewPipeline(t)
	p.Work()
	dir := t.TempDir()
	own := write(t, filepath.Join(dir, "backburn.toml"), "of ours")
	if err := os.Link(own, filepath.Join(dir, "other.exe")); err != nil {
		needs.CannotRun(t, "no hard links here: %v", err)
	}
	s := serve(t, p, func(c *clamd.Config) { c.Roots = []string{dir} }, guard.Own{Key: "--config", Path: own})

	c := s.dial()
	c.send("zSCAN " + dir + "/other.exe\x00")
	scanned := c.reply(0)
	c = s.dial()
	c.send("zFILDES\x00")
	c.pass(open(t, own, unix.O_RDONLY))
	passed := c.reply(0)

	for _, answer := range []string{scanned, passed} {
		if !strings.HasSuffix(answer, ": Access denied. ERROR") {
			t.Errorf("answered %q", answer)
		}
	}
	if n := p.WildFire.Count(""); n != 0 {
		t.Errorf("%d calls", n)
	}
}
