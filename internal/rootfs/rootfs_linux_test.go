package rootfs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"backburn/internal/rootfs"
	"backburn/internal/testkit/needs"
)

// TestWalking opens names as on a kernel without openat2, or with a filter against it.
func TestWalking(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "a", "b"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "a", "b", "file"), nil, 0o600))
	must(t, os.Symlink("a", filepath.Join(dir, "link")))
	must(t, os.Symlink("file", filepath.Join(dir, "a", "b", "last")))
	r := open(t, dir, rootfs.OneMount())

	for name, want := range map[string]rootfs.Cause{
		"a/b/file":      rootfs.None,
		"a/b/none":      rootfs.Missing,
		"a/b/file/none": rootfs.Missing,
		"link/b/file":   rootfs.Outside,
		"a/b/last":      rootfs.Outside,
	} {
		if err := rootfs.OpenByWalking(r, name); rootfs.CauseOf(err) != want {
			t.Errorf("%s: cause %d, want %d: %v", name, rootfs.CauseOf(err), want, err)
		}
	}
}

// TestOtherMounts opens a file on a mount below the root, with and without OneMount.
func TestOtherMounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mounted := filepath.Join(dir, "mounted")
	needs.Tmpfs(t, mounted, "")
	must(t, os.WriteFile(filepath.Join(mounted, "file"), nil, 0o600))

	f, err := open(t, dir).Open("mounted/file")
	must(t, err)
	f.Close()
	one := open(t, dir, rootfs.OneMount())
	if _, err := one.Open("mounted/file"); rootfs.CauseOf(err) != rootfs.Outside {
		t.Errorf("on another mount: %v", err)
	}
	if err := rootfs.OpenByWalking(one, "mounted/file"); rootfs.CauseOf(err) != rootfs.Outside {
		t.Errorf("on another mount, by walking: %v", err)
	}
}

// TestSpecialFilesDoNotBlock opens pipes, sockets and devices.
func TestSpecialFilesDoNotBlock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	r := open(t, dir)

	if _, err := r.Open("fifo"); rootfs.CauseOf(err) != rootfs.Special {
		t.Errorf("a pipe: %v", err)
	}
	if _, err := r.OpenFile("fifo", os.O_RDWR|os.O_CREATE, 0o600); rootfs.CauseOf(err) != rootfs.Special {
		t.Errorf("a pipe as a store: %v", err)
	}
}

// TestFileUnderAWriteLease opens a file on which another program has a write lease, like a Samba or
// NFS server. The kernel refuses that for up to lease-break-time; no call may wait that long.
func TestFileUnderAWriteLease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "leased")
	must(t, os.WriteFile(name, []byte("x"), 0o600))
	lease(t, name)

	r := open(t, dir)
	began := time.Now()
	_, err := r.Open("leased")
	if rootfs.CauseOf(err) != rootfs.Busy {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

// leaseEnv turns the test binary into a program that holds a write lease.
const leaseEnv = "ROOTFS_TEST_LEASE"

func TestMain(m *testing.M) {
	if name := os.Getenv(leaseEnv); name != "" {
		holdLease(name)
		return
	}
	os.Exit(m.Run())
}

// holdLease takes a write lease, prints a line, and keeps the lease until its input ends.
func holdLease(name string) {
	fd, err := unix.Open(name, unix.O_RDWR, 0)
	if err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
	}
	if err != nil {
		os.Stdout.WriteString(err.Error() + "\n")
		return
	}
	os.Stdout.WriteString("held\n")
	os.Stdin.Read(make([]byte, 1))
}

// lease lets another process hold a write lease until the test ends.
func lease(t *testing.T, name string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), leaseEnv+"="+name)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() { in.Close(); cmd.Wait() })

	line := make([]byte, 200)
	n, err := out.Read(line)
	must(t, err)
	if got := strings.TrimSpace(string(line[:n])); got != "held" {
		needs.CannotRun(t, "a write lease: %v", os.NewSyscallError("F_SETLEASE", unix.EINVAL))
	}
}

// TestWriters asks who writes to a file.
func TestWriters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name := filepath.Join(dir, "file")
	must(t, os.WriteFile(name, []byte("x"), 0o600))
	r := open(t, dir)
	f, err := r.Open("file")
	must(t, err)
	defer f.Close()

	if w, err := f.HoldLease(); w != rootfs.NoWriter || !f.LeaseHeld() {
		t.Fatalf("no writer: %v, %v", w, err)
	}
	if _, err := unix.Open(name, unix.O_WRONLY|unix.O_NONBLOCK, 0); err != unix.EAGAIN {
		t.Errorf("a writer could open the file: %v", err)
	}
	if f.LeaseHeld() {
		t.Error("a writer was not detected")
	}
	f.Close()

	f, err = r.Open("file")
	must(t, err)
	defer f.Close()
	w, err := os.OpenFile(name, os.O_RDWR, 0)
	must(t, err)
	if got, err := f.Writer(); got != rootfs.HasWriter {
		t.Errorf("with a writer: %v, %v", got, err)
	}
	w.Close()
	if got, err := f.Writer(); got != rootfs.NoWriter {
		t.Errorf("without a writer: %v, %v", got, err)
	}
}

// TestReplacedFolder replaces a folder with a link while files in it are opened. The file outside
// is never opened.
func TestReplacedFolder(t *testing.T) {
	t.Parallel()
	dir, outside := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(outside, "file"), []byte("secret"), 0o600))
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "sub", "file"), []byte("public"), 0o600))
	must(t, os.Symlink(outside, filepath.Join(dir, "link")))
	r := open(t, dir)

	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, "sub"), unix.AT_FDCWD, filepath.Join(dir, "link"), unix.RENAME_EXCHANGE)
		}
	}()

	read := 0
	for range 2000 {
		b, err := r.ReadFile("sub/file", 100)
		if err == nil && string(b) != "public" {
			t.Errorf("read %q", b)
			break
		}
		if err == nil {
			read++
		}
	}
	close(stop)
	<-done
	if read == 0 {
		t.Error("the file was never read")
	}
}

// TestVeryLongPaths opens a file whose path is too long for a single system call.
func TestVeryLongPaths(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := open(t, dir)
	component := strings.Repeat("d", 200)
	path := component
	must(t, r.Mkdir(path, 0o700))
	for len(path) < 2*unix.PathMax {
		path += "/" + component
		must(t, r.Mkdir(path, 0o700))
	}

	must(t, r.WriteFile(path+"/file", []byte("deep"), rootfs.Write{}))
	if b, err := r.ReadFile(path+"/file", 100); err != nil || string(b) != "deep" {
		t.Errorf("read %q, %v", b, err)
	}
}

// TestNothingToSync uses a folder on a file system that cannot make entries durable.
func TestNothingToSync(t *testing.T) {
	t.Parallel()
	must(t, open(t, "/proc").SyncDir(""))
}
